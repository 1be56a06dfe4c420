/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xml_text.h - XML that is edited as text, so that the rest of it stays as it is
 */
#ifndef PVDMA_PVDMACTL_XML_TEXT_H
#define PVDMA_PVDMACTL_XML_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>

/* A text without more than that can be read. */
#define XML_TEXT_MAX ((size_t)8 << 20)

/* Where an element stands in the text; offsets of bytes. */
struct xml_span {
	size_t start; /* of its '<' */
	size_t inner; /* behind the '>' of its start tag */
	size_t close; /* of the '<' of its end tag; == inner if it has none */
	size_t end;   /* behind it all */
	bool empty;   /* written <a/> */
};

/*
 * A text, and what it says. All nodes of the tree go away with each edit; who
 * edits looks for them again. All zero: none.
 */
struct xml_text {
	char *text; /* ends with a NUL */
	size_t size;
	xmlDoc *doc;
	struct xml_span *spans; /* of the elements, in their order */
	size_t num_spans;
};

/*
 * Reads @text (UTF-8, at most XML_TEXT_MAX bytes, without DOCTYPE), which is
 * copied. 0, -EINVAL if it is not XML, -E2BIG, -ENOMEM; with the reason in
 * words in *@ret_why (never freed), which may be NULL.
 */
int xml_text_init(struct xml_text *xml, const char *text, const char **ret_why);
void xml_text_done(struct xml_text *xml);

/* Where @node, an element of the tree, stands. */
const struct xml_span *xml_text_span(const struct xml_text *xml,
				     const xmlNode *node);

/* The first child element @name of namespace @ns (NULL: none), or NULL. */
xmlNode *xml_text_child(const xmlNode *parent, const char *name,
			const char *ns);
/* The next sibling that is like that. */
xmlNode *xml_text_next(const xmlNode *node, const char *name, const char *ns);
bool xml_text_is(const xmlNode *node, const char *name, const char *ns);
/* An attribute without namespace: allocated, NULL if there is none. */
char *xml_text_attribute(const xmlNode *node, const char *name);

/*
 * Edits: 0 or a negative errno, with nothing changed. -EINVAL: the outcome would
 * not be XML.
 *
 * An element that is put in gets a line of its own where its neighbours have
 * one, indented as they are; the lines of @element are relative to that.
 * xml_text_remove() takes such a line out again.
 */
int xml_text_insert_after(struct xml_text *xml, const xmlNode *sibling,
			  const char *element);
int xml_text_insert_first(struct xml_text *xml, const xmlNode *parent,
			  const char *element);
int xml_text_insert_last(struct xml_text *xml, const xmlNode *parent,
			 const char *element);
int xml_text_remove(struct xml_text *xml, const xmlNode *node);
/* Makes <a></a>, whatever blanks are in it, <a/>. */
int xml_text_collapse(struct xml_text *xml, const xmlNode *node);
/*
 * Sets the attribute that is written @name, or removes it (@value NULL).
 * -EINVAL if @value has quotes, ampersands or angle brackets.
 */
int xml_text_set(struct xml_text *xml, const xmlNode *node, const char *name,
		 const char *value);

#endif
