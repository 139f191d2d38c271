/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What builds need from outside, and bringing it into the cache.
 *
 * Order: ib_needs_of_nodes once or ib_needs_of_root several times into one list, ib_needs_fetch,
 * ib_needs_clear. What cannot be had stays in the list with its reason: whether to build without it
 * is the caller's decision.
 */
#pragma once

#include "io/fetch.h"
#include "ops/project.h"

enum ib_need_kind { IB_NEED_BASE, IB_NEED_PAYLOAD, IB_NEED_PACKAGE };

/* One file; texts are the need's own. */
struct ib_need {
    enum ib_need_kind kind;
    char *name; /* of the base, payload or package */
    char *base; /* PACKAGE: of which base; else NULL */
    struct ib_strv urls;
    struct ib_sha256 sha256;
    uint64_t size_bytes; /* 0: not known */
    enum ib_fetch_status status;
    struct ib_error *error; /* after ib_needs_fetch, where status is FAILED: why */
};

/* Each file once, sorted by kind, base and name. Starts as {0}. */
struct ib_needs {
    struct ib_need *items;
    size_t count;
};

struct ib_needs_options {
    bool offline;
    const struct ib_strv *mirrors; /* directories or URLs looked at first; may be NULL */
    unsigned parallel;             /* transfers at a time; 0: the default */
    struct ib_step *step;          /* parent for ours; may be NULL */
};

const char *ib_need_kind_name(enum ib_need_kind kind); /* "base", "payload", "package" */

/*
 * Adds what a root is made of: its base's file or its packages, and its payloads but for those
 * named in `without` (may be NULL), as the lock pins them. IB_E_NOT_FOUND for what the lock lacks,
 * IB_E_INVALID for what it pins in another version than the recipe asks for; the hint names the
 * `imgbuild lock` that helps.
 */
int ib_needs_of_root(const struct ib_project *project, const struct ib_root_spec *root,
                     const struct ib_strv *without, struct ib_needs *ret,
                     struct ib_error **err) _must_check_;
int ib_needs_of_nodes(const struct ib_project *project, const struct ib_node_spec *const *nodes,
                      size_t count, const struct ib_strv *without, struct ib_needs *ret,
                      struct ib_error **err) _must_check_;

/* As ib_fetch: all are tried; -1 when one is missing, with each one's reason in the list. */
int ib_needs_fetch(struct ib_needs *needs, const struct ib_project *project,
                   const struct ib_needs_options *options, struct ib_error **err) _must_check_;

void ib_needs_clear(struct ib_needs *needs);
