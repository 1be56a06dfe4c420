// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xml_text.c - XML that is edited as text, so that the rest of it stays as it is
 *
 * Owns: the text, libxml2's tree of it, and where in the text each element is.
 *
 * libxml2 says what the text means, and that it is well-formed; a walk over the
 * text, which may rely on that, says where elements begin and end. The two meet
 * by counting: the n-th element of the one is the n-th of the other. Without a
 * DOCTYPE there are no entities that could hide elements.
 *
 * Invariant: text, tree and places belong together. Each edit is a splice of
 * the text, which is then read again; if it cannot be read, it was not edited.
 *
 * Locks: none. In a request's way: not.
 */
#include "xml_text.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

#include "lib/cleanup.h"

/* libxml2 reads no deeper without being asked to. */
#define DEPTH_MAX 256

/* The walk over the text. */
struct walk {
	const char *text;
	size_t size, at;
	struct xml_span *spans;
	size_t num, room;
	size_t open[DEPTH_MAX]; /* elements that have begun */
	size_t depth;
};

/* Moves behind the next @what. False if there is none. */
static bool skip_past(struct walk *w, const char *what)
{
	const char *found =
		memmem(w->text + w->at, w->size - w->at, what, strlen(what));

	if (!found)
		return false;
	w->at = (size_t)(found - w->text) + strlen(what);
	return true;
}

static bool looking_at(const struct walk *w, const char *what)
{
	size_t n = strlen(what);

	return w->size - w->at >= n && memcmp(w->text + w->at, what, n) == 0;
}

/* Behind the '>' of a tag; blanks and '>' in its attributes do not count. */
static bool skip_tag(struct walk *w)
{
	char quote = '\0';

	for (; w->at < w->size; w->at++) {
		char c = w->text[w->at];

		if (quote) {
			if (c == quote)
				quote = '\0';
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '>') {
			w->at++;
			return true;
		}
	}
	return false;
}

static int begin_element(struct walk *w)
{
	struct xml_span *span;

	if (w->num == w->room) {
		size_t room = w->room ? 2 * w->room : 64;

		span = realloc(w->spans, room * sizeof(*span));
		if (!span)
			return -ENOMEM;
		w->spans = span;
		w->room = room;
	}
	span = &w->spans[w->num];
	span->start = w->at;
	if (!skip_tag(w))
		return -EINVAL;
	span->inner = w->at;
	span->empty = w->text[w->at - 2] == '/';
	span->close = w->at;
	span->end = w->at;
	if (!span->empty) {
		if (w->depth == DEPTH_MAX)
			return -EINVAL;
		w->open[w->depth++] = w->num;
	}
	w->num++;
	return 0;
}

static int end_element(struct walk *w)
{
	struct xml_span *span;

	if (w->depth == 0)
		return -EINVAL;
	span = &w->spans[w->open[--w->depth]];
	span->close = w->at;
	if (!skip_tag(w))
		return -EINVAL;
	span->end = w->at;
	return 0;
}

/* Finds all elements of a text that is known to be well-formed. */
static int find_elements(struct walk *w)
{
	while (skip_past(w, "<")) {
		bool found = true;
		int r = 0;

		w->at--;
		if (looking_at(w, "<!--"))
			found = skip_past(w, "-->");
		else if (looking_at(w, "<![CDATA["))
			found = skip_past(w, "]]>");
		else if (looking_at(w, "<?"))
			found = skip_past(w, "?>");
		else if (looking_at(w, "</"))
			r = end_element(w);
		else
			r = begin_element(w);
		if (r < 0)
			return r;
		if (!found)
			return -EINVAL;
	}
	return w->depth == 0 ? 0 : -EINVAL;
}

/* The element behind @node in the order of the text, or NULL. */
static xmlNode *next_element(xmlNode *node)
{
	xmlNode *next = xmlFirstElementChild(node);

	while (!next && node && node->type == XML_ELEMENT_NODE) {
		next = xmlNextElementSibling(node);
		node = node->parent;
	}
	return next;
}

/* Gives each element of the tree the number of its span. */
static int count_elements(struct xml_text *xml)
{
	xmlNode *node = xmlDocGetRootElement(xml->doc);
	size_t n = 0;

	for (; node; node = next_element(node)) {
		if (n == xml->num_spans)
			return -EINVAL;
		node->_private = &xml->spans[n++];
	}
	return n == xml->num_spans ? 0 : -EINVAL;
}

/* The tree. What names mean must be clear, for some are written by us. */
static int parse(struct xml_text *xml, const char **why)
{
	xmlParserCtxt *parser = xmlNewParserCtxt();
	bool clear;

	if (!parser)
		return -ENOMEM;
	xml->doc = xmlCtxtReadMemory(
		parser, xml->text, (int)xml->size, NULL, "UTF-8",
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	clear = parser->nsWellFormed;
	xmlFreeParserCtxt(parser);
	*why = "it is not well-formed XML";
	if (!xml->doc || !xmlDocGetRootElement(xml->doc))
		return -EINVAL;
	*why = "it uses XML namespaces wrongly";
	return clear ? 0 : -EINVAL;
}

/* Fills all but the text. */
static int read_text(struct xml_text *xml, const char **why)
{
	struct walk walk = { .text = xml->text, .size = xml->size };
	int r;

	r = parse(xml, why);
	if (r < 0)
		return r;
	*why = "it has a DOCTYPE, which libvirt's XML never has";
	if (xml->doc->intSubset || xml->doc->extSubset)
		return -EINVAL;
	r = find_elements(&walk);
	xml->spans = walk.spans;
	xml->num_spans = walk.num;
	*why = "it is written in an unusual way";
	return r < 0 ? r : count_elements(xml);
}

/* Takes @text. */
static int init_with(struct xml_text *xml, char *text, size_t size,
		     const char **why)
{
	int r;

	*xml = (struct xml_text){ .text = text, .size = size };
	r = read_text(xml, why);
	if (r == -ENOMEM)
		*why = "out of memory";
	if (r < 0)
		xml_text_done(xml);
	return r;
}

int xml_text_init(struct xml_text *xml, const char *text, const char **ret_why)
{
	const char *why = "out of memory";
	size_t size = strlen(text);
	char *copy = NULL;
	int r = -ENOMEM;

	*xml = (struct xml_text){ 0 };
	if (size > XML_TEXT_MAX) {
		why = "it is longer than 8 MiB";
		r = -E2BIG;
	} else {
		copy = strdup(text);
	}
	if (copy)
		r = init_with(xml, copy, size, &why);
	if (r < 0 && ret_why)
		*ret_why = why;
	return r;
}

void xml_text_done(struct xml_text *xml)
{
	xmlFreeDoc(xml->doc);
	free(xml->spans);
	free(xml->text);
	*xml = (struct xml_text){ 0 };
}

const struct xml_span *xml_text_span(const struct xml_text *xml,
				     const xmlNode *node)
{
	const struct xml_span *span = node->_private;

	assert(span >= xml->spans && span < xml->spans + xml->num_spans);
	return span;
}

bool xml_text_is(const xmlNode *node, const char *name, const char *ns)
{
	const char *have = node->ns ? (const char *)node->ns->href : NULL;

	if (node->type != XML_ELEMENT_NODE ||
	    strcmp((const char *)node->name, name) != 0)
		return false;
	return ns ? have && strcmp(have, ns) == 0 : !have;
}

static xmlNode *first_such(xmlNode *node, const char *name, const char *ns)
{
	while (node && !xml_text_is(node, name, ns))
		node = node->next;
	return node;
}

xmlNode *xml_text_child(const xmlNode *parent, const char *name, const char *ns)
{
	return parent ? first_such(parent->children, name, ns) : NULL;
}

xmlNode *xml_text_next(const xmlNode *node, const char *name, const char *ns)
{
	return first_such(node->next, name, ns);
}

char *xml_text_attribute(const xmlNode *node, const char *name)
{
	return (char *)xmlGetNoNsProp(node, (const xmlChar *)name);
}

/* Puts @size bytes at @with in the place of @n bytes at @at. */
static int splice(struct xml_text *xml, size_t at, size_t n, const char *with,
		  size_t size)
{
	size_t total = xml->size - n + size;
	struct xml_text edited;
	const char *why;
	char *text;
	int r;

	if (total > XML_TEXT_MAX)
		return -E2BIG;
	text = malloc(total + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, xml->text, at);
	memcpy(text + at, with, size);
	/* with the NUL */
	memcpy(text + at + size, xml->text + at + n, xml->size - at - n + 1);
	r = init_with(&edited, text, total, &why);
	if (r < 0)
		return r;
	xml_text_done(xml);
	*xml = edited;
	return 0;
}

/*
 * The blanks between the beginning of its line and @at. -1 if there is more
 * than blanks.
 */
static int line_indent(const struct xml_text *xml, size_t at)
{
	size_t begin = at;

	while (begin > 0 &&
	       (xml->text[begin - 1] == ' ' || xml->text[begin - 1] == '\t'))
		begin--;
	if (begin > 0 && xml->text[begin - 1] != '\n')
		return -1;
	return (int)(at - begin);
}

/* A text that grows. */
struct out {
	char *text;
	size_t size;
	FILE *f;
};

static int out_open(struct out *out)
{
	*out = (struct out){ 0 };
	out->f = open_memstream(&out->text, &out->size);
	return out->f ? 0 : -ENOMEM;
}

static int out_close(struct out *out)
{
	bool bad = ferror(out->f) != 0;

	if (fclose(out->f) != 0 || bad) {
		free(out->text);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Each line of @element begins with a line's end, the @n blanks at @indent, and
 * @more blanks. With @n -1 it is one line, in the line where it is put.
 */
static void put_lines(FILE *f, const char *element, const char *indent, int n,
		      int more)
{
	while (*element) {
		size_t length = strcspn(element, "\n");

		if (n >= 0)
			(void)fprintf(f, "\n%.*s%*s", n, indent, more, "");
		else
			while (length > 0 && *element == ' ') {
				element++;
				length--;
			}
		(void)fwrite(element, 1, length, f);
		element += length;
		if (*element == '\n')
			element++;
	}
}

/* Inserts at @at lines that are indented as @n blanks at @indent, and @more. */
static int insert_at(struct xml_text *xml, size_t at, const char *element,
		     size_t indent, int n, int more)
{
	struct out out;
	int r = out_open(&out);

	if (r < 0)
		return r;
	put_lines(out.f, element, xml->text + indent, n, more);
	r = out_close(&out);
	if (r < 0)
		return r;
	r = splice(xml, at, 0, out.text, out.size);
	free(out.text);
	return r;
}

int xml_text_insert_after(struct xml_text *xml, const xmlNode *sibling,
			  const char *element)
{
	const struct xml_span *span = xml_text_span(xml, sibling);
	int n = line_indent(xml, span->start);
	size_t indent = n < 0 ? 0 : span->start - (size_t)n;

	return insert_at(xml, span->end, element, indent, n, 0);
}

/* The name of the element at @span as it is written. */
static size_t written_name(const struct xml_text *xml,
			   const struct xml_span *span)
{
	return strcspn(xml->text + span->start + 1, " \t\r\n/>");
}

/* <a/> becomes <a>, @element, </a>. */
static int open_empty(struct xml_text *xml, const struct xml_span *span,
		      const char *element)
{
	int n = line_indent(xml, span->start), r;
	const char *tag = xml->text + span->start;
	struct out out;

	r = out_open(&out);
	if (r < 0)
		return r;
	(void)fputc('>', out.f);
	put_lines(out.f, element, tag - (n < 0 ? 0 : n), n, 2);
	if (n >= 0)
		(void)fprintf(out.f, "\n%.*s", n, tag - n);
	(void)fprintf(out.f, "</%.*s>", (int)written_name(xml, span), tag + 1);
	r = out_close(&out);
	if (r < 0)
		return r;
	r = splice(xml, span->inner - 2, 2, out.text, out.size);
	free(out.text);
	return r;
}

int xml_text_insert_first(struct xml_text *xml, const xmlNode *parent,
			  const char *element)
{
	const struct xml_span *span = xml_text_span(xml, parent);
	const xmlNode *child = xmlFirstElementChild((xmlNode *)parent);
	size_t indent = span->start;
	int n, more = 2;

	if (span->empty)
		return open_empty(xml, span, element);
	if (child) {
		indent = xml_text_span(xml, child)->start;
		more = 0;
	}
	n = line_indent(xml, indent);
	if (n > 0)
		indent -= (size_t)n;
	return insert_at(xml, span->inner, element, indent, n, more);
}

int xml_text_insert_last(struct xml_text *xml, const xmlNode *parent,
			 const char *element)
{
	const xmlNode *last = xmlLastElementChild((xmlNode *)parent);

	return last ? xml_text_insert_after(xml, last, element) :
		      xml_text_insert_first(xml, parent, element);
}

int xml_text_remove(struct xml_text *xml, const xmlNode *node)
{
	const struct xml_span *span = xml_text_span(xml, node);
	size_t start = span->start, end = span->end;
	int n = line_indent(xml, start);

	if (n >= 0 && start > (size_t)n)
		start -= (size_t)n + 1;
	return splice(xml, start, end - start, "", 0);
}

int xml_text_collapse(struct xml_text *xml, const xmlNode *node)
{
	const struct xml_span *span = xml_text_span(xml, node);
	size_t at;

	if (span->empty)
		return 0;
	for (at = span->inner; at < span->close; at++)
		if (!isspace((unsigned char)xml->text[at]))
			return -EINVAL;
	at = span->inner - 1;
	return splice(xml, at, span->end - at, "/>", 2);
}

/* Where an attribute is written. */
struct attribute {
	size_t name, value, end; /* end: behind the closing quote */
};

/* Looks for the attribute that is written @name in the start tag. */
static bool find_attribute(const struct xml_text *xml,
			   const struct xml_span *span, const char *name,
			   struct attribute *ret)
{
	const char *text = xml->text;
	size_t at = span->start + 1 + written_name(xml, span);

	for (;;) {
		size_t length;
		char quote;

		at += strspn(text + at, " \t\r\n");
		if (at >= span->inner || text[at] == '/' || text[at] == '>')
			return false;
		ret->name = at;
		length = strcspn(text + at, " \t\r\n=");
		at += length + strcspn(text + at + length, "'\"");
		quote = text[at++];
		ret->value = at;
		at += strcspn(text + at, (char[]){ quote, '\0' }) + 1;
		ret->end = at;
		if (length == strlen(name) &&
		    memcmp(text + ret->name, name, length) == 0)
			return true;
	}
}

/* Removes an attribute and the blanks before it. */
static int remove_attribute(struct xml_text *xml, const struct attribute *a)
{
	size_t start = a->name;

	while (isspace((unsigned char)xml->text[start - 1]))
		start--;
	return splice(xml, start, a->end - start, "", 0);
}

int xml_text_set(struct xml_text *xml, const xmlNode *node, const char *name,
		 const char *value)
{
	const struct xml_span *span = xml_text_span(xml, node);
	struct attribute a;
	size_t at = span->inner - (span->empty ? 2 : 1);
	struct out out;
	int r;

	if (value && strpbrk(value, "<>&'\""))
		return -EINVAL;
	if (find_attribute(xml, span, name, &a))
		return value ? splice(xml, a.value, a.end - 1 - a.value, value,
				      strlen(value)) :
			       remove_attribute(xml, &a);
	if (!value)
		return 0;
	r = out_open(&out);
	if (r < 0)
		return r;
	(void)fprintf(out.f, " %s='%s'", name, value);
	r = out_close(&out);
	if (r < 0)
		return r;
	while (isspace((unsigned char)xml->text[at - 1]))
		at--;
	r = splice(xml, at, 0, out.text, out.size);
	free(out.text);
	return r;
}
