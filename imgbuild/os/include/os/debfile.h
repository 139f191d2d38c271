/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a .deb says of itself: the control paragraph inside it (deb(5), deb-control(5), Debian
 * Policy chapter 5), read without unpacking the rest.
 *
 * A .deb is untrusted until its hash was checked, and its maker even then: everything is bounded,
 * and names that go into file names or command lines are held to Policy's own alphabets.
 */
#pragma once

#include "base/error.h"

struct ib_deb_field {
    char *name;  /* as written: "Depends" */
    char *value; /* without the blank after the colon; later lines keep theirs ("\n more") */
};

/* The paragraph. Starts as {0}; ib_deb_control_clear frees what it holds. */
struct ib_deb_control {
    struct ib_deb_field *fields; /* in the order of the file */
    size_t field_count;
    const char *package, *version, *architecture; /* checked; borrowed from fields */
};

/* Reads the control paragraph of the .deb at `path`. IB_E_INVALID says what is wrong with it. */
int ib_deb_control_read(const char *path, struct ib_deb_control *ret,
                        struct ib_error **err) _must_check_;
/* The same from the .deb's bytes (for tests and fuzzing); `name` is for messages. */
int ib_deb_control_read_memory(const char *name, const void *data, size_t size,
                               struct ib_deb_control *ret, struct ib_error **err) _must_check_;
void ib_deb_control_clear(struct ib_deb_control *control);

/* A field's value, whatever the case of its name, or NULL. Borrowed. */
const char *ib_deb_control_get(const struct ib_deb_control *control, const char *field);
