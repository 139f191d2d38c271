/* SPDX-License-Identifier: Apache-2.0 */
#include "json_place.h"

#include <string.h>

/* The text is valid JSON, so that only strings and brackets have to be told apart. */
struct cursor {
    const char *text;
    size_t size, at;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->size && strchr(" \t\r\n", c->text[c->at]) && c->text[c->at])
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at >= c->size || c->text[c->at] != wanted)
        return false;
    c->at++;
    return true;
}

/* From the opening quote to behind the closing one. */
static void skip_string(struct cursor *c)
{
    for (c->at++; c->at < c->size && c->text[c->at] != '"'; c->at++)
        if (c->text[c->at] == '\\')
            c->at++;
    c->at++;
}

static void skip_value(struct cursor *c)
{
    size_t depth = 0;

    skip_blanks(c);
    while (c->at < c->size) {
        char ch = c->text[c->at];
        if (ch == '"') {
            skip_string(c);
            if (depth == 0)
                return;
            continue;
        }
        if (depth == 0 && (ch == ',' || ch == '}' || ch == ']'))
            return;
        if (ch == '{' || ch == '[')
            depth++;
        c->at++;
        if ((ch == '}' || ch == ']') && --depth == 0)
            return;
    }
}

/* Moves to the value of a key of the object at the cursor. */
static bool enter_object(struct cursor *c, const char *key)
{
    size_t n = strlen(key);

    if (!take(c, '{'))
        return false;
    for (;;) {
        skip_blanks(c);
        if (c->at >= c->size || c->text[c->at] != '"')
            return false;
        size_t begin = c->at + 1;
        skip_string(c);
        bool found = c->at - 1 - begin == n && memcmp(c->text + begin, key, n) == 0;
        if (!take(c, ':'))
            return false;
        skip_blanks(c);
        if (found)
            return true;
        skip_value(c);
        if (!take(c, ','))
            return false;
    }
}

static bool enter_array(struct cursor *c, size_t index)
{
    if (!take(c, '['))
        return false;
    for (; index > 0; index--) {
        skip_value(c);
        if (!take(c, ','))
            return false;
    }
    skip_blanks(c);
    return true;
}

struct ib_origin ib_json_place(const char *file, const char *text, size_t size,
                               const struct json_step *path, size_t count)
{
    struct cursor c = {.text = text, .size = size};
    struct ib_origin at = {.file = file, .line = 1, .column = 1};

    skip_blanks(&c);
    for (size_t i = 0; i < count; i++) {
        struct cursor next = c;
        bool found =
            path[i].key ? enter_object(&next, path[i].key) : enter_array(&next, path[i].index);
        if (!found)
            break;
        c = next;
    }
    for (size_t i = 0; i < c.at && i < size; i++) {
        at.column++;
        if (text[i] == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return at;
}
