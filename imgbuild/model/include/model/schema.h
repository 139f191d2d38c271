/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that describe structs: one row a field, with its key, type, offset and documentation.
 *
 * From one table come the strict decoding of YAML into the struct, its JSON form, a deep copy, its
 * release, the JSON Schema that editors complete with, and the reference in docs/recipes.md. So
 * what is checked, what is documented and what is stored cannot drift apart.
 */
#pragma once

#include "model/origin.h"
#include "model/yaml.h"

struct json_t;

enum ib_type {
    /* Text: stored as char *, each with its own rules (schema_text.c). */
    IB_TYPE_TEXT,   /* anything */
    IB_TYPE_LINE,   /* one line */
    IB_TYPE_NAME,   /* DNS label: names of recipes */
    IB_TYPE_DOMAIN, /* DNS name */
    IB_TYPE_VERSION,
    IB_TYPE_URL,
    IB_TYPE_PATH,         /* absolute path in the machine's tree */
    IB_TYPE_GLOB,         /* the same as a pattern */
    IB_TYPE_PERSIST,      /* the same, a directory with a '/' at its end */
    IB_TYPE_PROJECT_PATH, /* relative path below the project directory */
    IB_TYPE_SYSCTL,
    IB_TYPE_KERNEL_ARGUMENT,
    IB_TYPE_MODULE,
    IB_TYPE_UNIT,
    IB_TYPE_PACKAGE,
    IB_TYPE_PACKAGE_VERSION, /* of Debian or RPM, with epoch */
    IB_TYPE_ACCOUNT,         /* user or group name */
    IB_TYPE_OWNER,           /* the same or a number */
    IB_TYPE_SSH_KEY,
    IB_TYPE_FINGERPRINT,
    IB_TYPE_SNAPSHOT,
    IB_TYPE_TIMEZONE,
    IB_TYPE_WORD,    /* letters, digits, "._-@": suite, component, locale, keymap */
    IB_TYPE_PATTERN, /* one line without blanks around it: fnmatch pattern of names */
    IB_TYPE_LABEL,   /* Kubernetes label key */
    IB_TYPE_TAINT,
    IB_TYPE_TEXT_END_,
    /* Others: stored as named. */
    IB_TYPE_BOOL = IB_TYPE_TEXT_END_,
    IB_TYPE_INT,          /* int64_t, min to max */
    IB_TYPE_SIZE,         /* uint64_t bytes: "512M" */
    IB_TYPE_BOOL_OR_SIZE, /* struct { bool; uint64_t } */
    IB_TYPE_IPV4,         /* uint32_t */
    IB_TYPE_NETWORK,      /* struct ib_ipv4_network */
    IB_TYPE_RANGE,        /* struct ib_ipv4_range */
    IB_TYPE_MAC,          /* struct ib_mac */
    IB_TYPE_MODE,         /* uint32_t; absent without a preset: UINT32_MAX */
    IB_TYPE_ENUM,         /* enum, by `names` */
    IB_TYPE_STRUCT,       /* by `schema` */
    IB_TYPE_PAIRS,        /* struct ib_pairs: mapping to strings; key_type */
    IB_TYPE_ANY,          /* struct json_t *: mapping to anything */
    IB_TYPE_BY_FAMILY,    /* struct ib_by_family of text of key_type */
};

enum ib_field_flags {
    IB_REQUIRED = 1 << 0,
    IB_LIST = 1 << 1,  /* a list: struct ib_strv for text, else {items, count} */
    IB_KEYED = 1 << 2, /* a mapping from name to struct: {items, count}; `name` comes first in it */
    IB_ORDERED = 1 << 3,  /* of a list: one value may stand in it twice */
    IB_IMPLICIT = 1 << 4, /* not written: the name, known from the file or from the key */
};

struct ib_schema;

struct ib_field {
    const char *key;
    enum ib_type type;
    unsigned flags;
    size_t offset;
    int64_t min, max;               /* INT */
    const char *const *names;       /* ENUM: by value, closed by NULL */
    enum ib_type key_type;          /* PAIRS: of keys; BY_FAMILY: of items */
    const struct ib_schema *schema; /* STRUCT */
    const char *preset;             /* what an absent value means, as text; NULL: none */
    const char *doc;                /* one or two sentences, markdown */
};

struct ib_schema {
    const char *title; /* "role" */
    const char *doc;
    size_t size; /* of the struct */
    const struct ib_field *fields;
    size_t count;
    const char *shorthand; /* a scalar in place of the mapping stands for this key; NULL: none */
};

/* What decoding needs: where mistakes and places go. Owns compiled patterns. */
struct ib_decoder;
struct ib_decoder *ib_decoder_new(struct ib_origins *origins, struct ib_diags *diags);
struct ib_decoder *ib_decoder_free(struct ib_decoder *decoder); /* returns NULL */
void ib_decoder_freep(struct ib_decoder **decoder);

/*
 * Decodes into *ret, which must be zeroed. Mistakes are reported, and the fields they are in left
 * at their presets, so that later checks go on. The caller clears *ret in any case.
 */
void ib_schema_decode(struct ib_decoder *decoder, const struct ib_schema *schema,
                      const struct ib_yaml_node *node, void *ret);
/* Checks one text; NULL when it is fine, else what was expected (static). */
const char *ib_decoder_check_text(struct ib_decoder *decoder, enum ib_type type, const char *text);
/* "an IPv4 address", "a package name": for messages and documents. Static. */
const char *ib_type_name(enum ib_type type);
/* The pattern (POSIX ERE and ECMA 262 at once) of a text type or a type written as text, or NULL.
 */
const char *ib_type_pattern(enum ib_type type);
/* What is right for a type, with an example: "expected …". Static. */
const char *ib_type_expectation(enum ib_type type);

/* Frees what the struct points to and zeroes it. */
void ib_schema_clear(const struct ib_schema *schema, void *value);
/* Deep copy into a zeroed struct; origins are copied along where `origins` is not NULL. */
void ib_schema_copy(const struct ib_schema *schema, void *ret, const void *value,
                    struct ib_origins *origins);
/* New JSON object of all fields that are present. Values have the form in which they are written
 * in YAML, sizes are in bytes. */
struct json_t *ib_schema_to_json(const struct ib_schema *schema, const void *value);

/* Called for every value that is present: its path ("network.dns[0]"), text, and place. */
typedef void (*ib_value_fn)(const char *path, const char *text, struct ib_origin at,
                            void *userdata);
void ib_schema_walk(const struct ib_schema *schema, const void *value,
                    const struct ib_origins *origins, ib_value_fn fn, void *userdata);

/* JSON Schema, draft 2020-12; a new object. `id` becomes its $id. */
struct json_t *ib_schema_json_schema(const struct ib_schema *schema, const char *id);
/* A markdown section with one table a struct. The caller frees. */
char *ib_schema_markdown(const struct ib_schema *schema);
