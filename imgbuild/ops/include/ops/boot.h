/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying an image: a virtual machine (QEMU with OVMF, UEFI) whose disk is the image. The artifact
 * itself is never written to: the machine gets a sparse copy.
 */
#pragma once

#include "base/progress.h"

struct ib_boot_options {
    const char *image;    /* raw disk image, or ….zst */
    const char *disk;     /* keep the machine's disk here; an existing one is used as it is. NULL:
                             a temporary one in temp_dir */
    const char *temp_dir; /* host directory for temporary files */
    uint64_t disk_size_bytes; /* the disk is made at least this large (0: 64 GiB); sparse */
    uint64_t memory_mib;      /* 0: 2048 */
    uint64_t cpus;            /* 0: 2, or 1 without KVM */
    const char *mac;          /* of its network card, or NULL */
    /* A node has a static address: the machine's network is made like its own. All or none. */
    const char *address, *subnet, *gateway; /* "10.10.10.10", "10.10.10.0/24", "10.10.10.1" */
    uint64_t ssh_port;    /* loopback port forwarded to the machine's 22; 0: none */
    const char *wait_for; /* end with success when the console shows this; NULL: interactive */
    uint64_t timeout_s;   /* with wait_for; 0: 600 */
    const char
        *kernel_arguments; /* added to the command line (Secure Boot off only); may be NULL */
    int console_fd;        /* where the console's output goes; with wait_for */
    struct ib_progress *progress;
};

/* Ends when the machine is switched off, or `wait_for` was seen (then it is killed). A console that
 * ends or stays silent without that text is IB_E_CHILD. */
int ib_boot_run(const struct ib_boot_options *options, struct ib_error **err) _must_check_;
