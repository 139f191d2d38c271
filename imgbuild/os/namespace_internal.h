/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by namespace*.c: what init and we say to each other, and what init does. */
#pragma once

#include <sched.h>

#include "namespace.h"

enum ib_ns_kind {
    IB_NS_USER, /* first: the others belong to it. < 0 where there is none */
    IB_NS_MOUNT,
    IB_NS_PID,
    IB_NS_IPC,
    IB_NS_UTS,
    IB_NS_NET,
    IB_NS_KINDS,
};

/* Names in /proc/PID/ns and flags, by kind. */
extern const struct ib_ns_type {
    const char *name;
    int flag;
} ib_ns_types[IB_NS_KINDS];

/* What we ask of init: one byte. What it answers: struct ib_ns_reply, with descriptors where told.
 */
enum ib_ns_request {
    IB_NS_GO = 'g',    /* the ids are mapped: go on (answer: the tree's and the namespaces' fds) */
    IB_NS_ENTER = 'e', /* make the tree "/" */
    IB_NS_SWEEP = 's', /* kill everything else inside */
};

struct ib_ns_reply {
    int errnum;    /* 0: done */
    uint32_t made; /* ENTER: bits of mount points that were made, by ib_ns_mount_points */
    char what[96]; /* what failed: "mount a tmpfs" */
    char hint[96];
};

extern const char *const ib_ns_mount_points[]; /* "proc", "sys", …; NULL-terminated */

/* What the holder needs to know. Lives in our memory, of which it has a copy. */
struct ib_ns_plan {
    bool user_namespace;
    bool memory;
    uint64_t memory_limit;
    const char *place; /* memory: an existing directory; else the directory of the tree */
    int socket;
};

/* The holder's and init's life; an exit status. Runs as ib_run's child_main. */
int ib_ns_holder_main(void *plan);

/* Init: mounts the empty tree at plan->place; its bare descriptor, or -1 with *ret filled. */
int ib_ns_mount_tree(const struct ib_ns_plan *plan, struct ib_ns_reply *ret);
/* Init: makes the tree "/" with all its mounts. -1 with *ret filled. */
int ib_ns_enter_tree(const struct ib_ns_plan *plan, int tree_fd, struct ib_ns_reply *ret);

/* Maps ids 0 to 65535 of the process's new user namespace. */
int ib_ns_map_ids(int pid, struct ib_error **err) _must_check_;

/* In a child of ours: what a program gets before exec. -1 with errno. */
int ib_ns_drop_privileges(void);
bool ib_ns_is_privileged(void); /* root with CAP_SYS_ADMIN and ids 0 to 65535: no user namespace */
bool ib_ns_has_all_ids(void);   /* we are in the first user namespace, or in one like it */
