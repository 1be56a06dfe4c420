/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * words.pml - the tracking table's words, for the models that include it
 *
 * Granules 0 and 1 make up a block, whose word follows those of the granules. A
 * word is MAPPED and a count; each operation on one of them is one step.
 */
#ifndef GRANULES
#define GRANULES 2
#endif
#define BLOCK GRANULES
#define WORDS (GRANULES + 1)

#define FIRST(word) ((word) == BLOCK -> 0 : (word))
#define LAST(word)  ((word) == BLOCK -> 1 : (word))

bool mapped[WORDS]; /* the bit MAPPED */
byte count[WORDS];  /* the count */
