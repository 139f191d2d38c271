/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/file.h"
#include "cli/artifacts.h"
#include "cli/commands.h"
#include "ops/boot.h"

struct options {
    const char *disk, *wait_for, *kernel_arguments, *output;
    uint64_t disk_size_gib, memory_mib, cpus, ssh_port, timeout_s;
};

/* What the machine must be like for a node; all empty for an image alone. */
struct node_machine {
    char mac[IB_MAC_TEXT_SIZE], subnet[IB_NETWORK_TEXT_SIZE];
    char address[IB_IPV4_TEXT_SIZE], gateway[IB_IPV4_TEXT_SIZE];
    uint64_t disk_size; /* bytes that its partitions need at least */
};

static void describe_machine(const struct ib_node_spec *node, struct node_machine *ret)
{
    const struct ib_storage *s = &node->storage;

    ib_mac_format(&node->mac, ret->mac);
    ib_network_format(&node->subnet, ret->subnet);
    ib_ipv4_format(node->address, ret->address);
    ib_ipv4_format(node->gateway, ret->gateway);
    ret->disk_size = node->esp_size + 3 * node->slot_size + s->var_min_size + /* hashes, too */
                     (s->ceph ? IB_MAX(s->ceph_size, IB_GIB) : 0) + IB_GIB;
}

static char *find_image(struct ib_cli *cli, const struct options *o, const char *what,
                        struct node_machine *machine, struct ib_error **err)
{
    _cleanup_(ib_project_clear) struct ib_project project = {0};
    const struct ib_node_spec *node = NULL;
    char *image = ib_cli_find_artifact(cli, what, o->output, &project, &node, err);

    if (image && node)
        describe_machine(node, machine);
    return image;
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const struct options *o = options;
    struct node_machine machine = {0};
    _cleanup_(ib_cache_freep) struct ib_cache *cache = ib_cache_open(cli->cache, err);
    _cleanup_(ib_freep) char *image = cache ? find_image(cli, o, argv[0], &machine, err) : NULL;
    _cleanup_(ib_freep) char *temp_dir = NULL;

    if (!image || !(temp_dir = ib_cache_temp_dir(cache, "boot", err)))
        return -1;
    const struct ib_boot_options boot = {
        .image = image,
        .disk = o->disk,
        .temp_dir = temp_dir,
        .disk_size_bytes = o->disk_size_gib                  ? o->disk_size_gib * IB_GIB
                           : machine.disk_size > 64 * IB_GIB ? machine.disk_size
                                                             : 0,
        .memory_mib = o->memory_mib,
        .cpus = o->cpus,
        .mac = *machine.mac ? machine.mac : NULL,
        .address = *machine.address ? machine.address : NULL,
        .subnet = machine.subnet,
        .gateway = machine.gateway,
        .ssh_port = o->ssh_port,
        .wait_for = o->wait_for,
        .timeout_s = o->timeout_s,
        .kernel_arguments = o->kernel_arguments,
        .console_fd = STDOUT_FILENO,
        .progress = cli->progress,
    };
    int r = ib_boot_run(&boot, err);
    ib_temp_dirp(&temp_dir);
    temp_dir = NULL;
    return r;
}

static const struct ib_option option_table[] = {
    {"wait-for", 'w', IB_OPT_STRING, "TEXT", "end with success when the console shows TEXT",
     offsetof(struct options, wait_for), NULL},
    {"timeout", 0, IB_OPT_UINT, "SECONDS", "with --wait-for: give up after (default: 600)",
     offsetof(struct options, timeout_s), NULL},
    {"disk", 0, IB_OPT_STRING, "FILE", "keep the machine's disk here, or go on with that one",
     offsetof(struct options, disk), NULL},
    {"disk-size", 0, IB_OPT_UINT, "GIB",
     "size of the disk (default: 64, or what the node needs; sparse)",
     offsetof(struct options, disk_size_gib), NULL},
    {"memory", 'm', IB_OPT_UINT, "MIB", "memory of the machine (default: 2048)",
     offsetof(struct options, memory_mib), NULL},
    {"cpus", 0, IB_OPT_UINT, "N", "processors of the machine (default: 2, emulated 1)",
     offsetof(struct options, cpus), NULL},
    {"ssh-port", 0, IB_OPT_UINT, "PORT", "forward this loopback port to the machine's 22",
     offsetof(struct options, ssh_port), NULL},
    {"append", 0, IB_OPT_STRING, "ARGUMENTS", "more kernel arguments (Secure Boot off)",
     offsetof(struct options, kernel_arguments), NULL},
    {"output", 'o', IB_OPT_STRING, "DIR", "where artifacts are (default: out/ in the project)",
     offsetof(struct options, output), NULL},
    {0},
};

const struct ib_command ib_command_boot = {
    .name = "boot",
    .arguments = "NAME | ARTIFACT",
    .summary = "try an image in a virtual machine",
    .description =
        "Starts a virtual machine (QEMU, UEFI) from a copy of the node's newest artifact, or of "
        "the image named, with its serial console on the terminal; the machine ends with its own "
        "power-off, or with Ctrl-C.\n\n"
        "KVM is used where it works; elsewhere the machine is emulated and slow.",
    .example = "imgbuild boot odin --wait-for 'odin login:'",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_NODE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
