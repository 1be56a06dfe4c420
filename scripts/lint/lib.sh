# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the lints share: which files there are, and how a lint gives up. Sourced,
# with the top of the checkout as the working folder.

# Prints the project's files, sorted, that match any of the patterns (of git: "*"
# matches "/" too); all of them without a pattern. New files count before they
# are committed; what git ignores never does.
sources() {
    local file
    if [[ -e .git ]]; then
        # A folder that git does not like is no reason to judge what git keeps there.
        git ls-files -co --exclude-standard -- "$@" ||
            find . -type f ! -path './build/*' ! -path './.git/*' -printf '%P\n' | matching "$@"
    else
        # A source archive holds nothing but the project.
        find . -type f ! -path './build/*' -printf '%P\n' | matching "$@"
    fi | sort -u | while IFS= read -r file; do
        # A file that is deleted but not yet committed is listed still.
        [[ ! -f $file || -L $file ]] || printf '%s\n' "$file"
    done
}

# The C files that run as ordinary programs; what is left is kernel modules.
userland() {
    sources 'host/*.c' 'tests/*.c' | grep -vE '^tests/(modules|bed/l1|bench/peers/map_[a-z]+)/'
}

# Reads names; prints those that match any of the patterns.
matching() {
    local file pattern
    while IFS= read -r file; do
        for pattern in "$@"; do
            # shellcheck disable=SC2053  # a pattern is meant
            if [[ $file == $pattern ]]; then
                printf '%s\n' "$file"
                break
            fi
        done
    done
}

# Reads names; prints those whose first line names an interpreter like $1.
with_interpreter() {
    local file line
    while IFS= read -r file; do
        line=
        IFS= read -r line <"$file" 2>/dev/null || true
        # shellcheck disable=SC2254  # a pattern is meant
        case $line in
        '#!'*[/\ ]$1*) printf '%s\n' "$file" ;;
        esac
    done
}

# A lint whose tool is missing has not passed.
need() {
    local tool
    for tool in "$@"; do
        if ! command -v "$tool" >/dev/null; then
            echo "$tool is missing: run scripts/setup lint" >&2
            exit 1
        fi
    done
}
