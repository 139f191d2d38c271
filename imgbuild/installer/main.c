/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imgbuild-installer: what runs on the console of a machine that was started from a recovery stick.
 *
 *     console            what the kernel's command line asks for: install, or with imgbuild.rescue
 *                        a shell (imgbuild-installer.service)
 *     install [NODE]     the same from the shell, for the node that is named
 *     nodes              which nodes are on the stick
 *     disks              the disks of this machine, and what forbids writing
 *     flash FILE DEVICE  writes any image, as `imgbuild flash` does
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cmdline.h"
#include "base/file.h"
#include "installer/console.h"
#include "installer/install.h"
#include "ops/flash.h"

enum { STICK_WAIT_S = 60, NODE_WAIT_S = 10, DISK_WAIT_S = 15, CMDLINE_MAX = 1 << 16 };

static char *read_cmdline(struct ib_error **err)
{
    struct ib_buf text = {0};

    return ib_read_file("/proc/cmdline", CMDLINE_MAX, &text, err) < 0 ? NULL
                                                                      : ib_buf_steal_string(&text);
}

static int open_stick(struct ib_stick *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) char *cmdline = read_cmdline(err);

    return cmdline ? ib_stick_open(cmdline, "/dev", STICK_WAIT_S, ret, err) : -1;
}

static void list_nodes(const struct ib_stick *stick)
{
    char mac[IB_MAC_TEXT_SIZE];

    for (size_t i = 0; i < stick->medium.count; i++) {
        const struct ib_medium_node *n = &stick->medium.nodes[i];
        _cleanup_(ib_freep) char *rule = ib_disk_rule_text(&n->install_disk);
        printf("  %-12s %-10s %-14s %s  disk: %s\n", n->name, n->role, n->version,
               ib_mac_format(&n->mac, mac), rule);
    }
    fflush(stdout);
}

static int list_disks(struct ib_error **err)
{
    _cleanup_(ib_disks_clear) struct ib_disks disks = {0};
    char size[16];

    if (ib_disks_list(false, &disks, err) < 0)
        return -1;
    for (size_t i = 0; i < disks.count; i++) {
        const struct ib_disk *d = &disks.items[i];
        _cleanup_(ib_freep) char *loss = ib_disk_loss(d);
        printf("  %-14s %10s  %s%s%s\n      %s\n", d->path, ib_format_size(d->size_bytes, size),
               d->model ? d->model : "(no model)", d->serial ? ", serial " : "",
               d->serial ? d->serial : "", loss);
        for (size_t k = 0; k < d->refusals.count; k++)
            printf("      not to be written: %s\n", d->refusals.items[k]);
    }
    fflush(stdout);
    return 0;
}

/* --- install -----------------------------------------------------------------------------------
 */

static int confirm(const struct ib_install *install, const char *plan, struct ib_error **err)
{
    const struct ib_disk *d = install->disk;
    _cleanup_(ib_freep) char *answer = NULL;

    fputs(plan, stdout);
    answer = ib_console_ask("Type %s or %s to overwrite it: ", install->node->name, d->name);
    if (answer && (ib_streq(answer, install->node->name) || ib_streq(answer, d->name) ||
                   ib_streq(answer, d->path)))
        return 0;
    ib_failf(err, IB_E_REFUSED, "%s was not named: nothing was written", d->path);
    return ib_hint(err, "type the node's name or the disk's exactly as shown");
}

static const struct ib_medium_node *ask_node(const struct ib_stick *stick, struct ib_error **err)
{
    ib_console_say("no node on this stick has the MAC address of this machine");
    list_nodes(stick);
    _cleanup_(ib_freep) char *name = ib_console_ask("Type the name of the node to install: ");
    const struct ib_medium_node *node = name ? ib_medium_find(&stick->medium, name) : NULL;
    if (!node)
        ib_failf(err, IB_E_NOT_FOUND, "there is no node '%s' on this stick", name ? name : "");
    return node;
}

static const struct ib_medium_node *find_node(const struct ib_stick *stick, bool ask,
                                              struct ib_error **err)
{
    const struct ib_medium_node *node = NULL;

    for (int i = 0; i < NODE_WAIT_S && !node; i++) {
        node = ib_stick_find_node(stick, "/sys");
        if (!node)
            sleep(1); /* a network driver may still be on its way */
    }
    if (!node && ask)
        return ask_node(stick, err);
    if (!node) {
        ib_failf(err, IB_E_NOT_FOUND, "no node on this stick has the MAC address of this machine");
        ib_hint(err, "put the address into the node's recipe, or install with questions asked");
    }
    return node;
}

static int install(const char *name, bool ask, struct ib_error **err)
{
    _cleanup_(ib_stick_close) struct ib_stick stick = {.fd = -1};
    _cleanup_(ib_progress_freep) struct ib_progress *progress = ib_console_progress();
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};

    if (open_stick(&stick, err) < 0)
        return -1;
    const struct ib_medium_node *node =
        name ? ib_medium_find(&stick.medium, name) : find_node(&stick, ask, err);
    if (name && !node)
        return ib_failf(err, IB_E_NOT_FOUND, "there is no node '%s' on this stick", name);
    if (!node)
        return -1;
    ib_console_say("this machine is '%s'", node->name);
    if (ib_install_find_disk(node, DISK_WAIT_S, &disk, err) < 0)
        return -1;
    const struct ib_install job = {
        .stick = &stick,
        .node = node,
        .disk = &disk,
        .confirm = ask ? confirm : NULL,
        .progress = progress,
    };
    if (ib_install_run(&job, err) < 0)
        return -1;
    ib_console_say("%s %s is on %s", node->name, node->version, disk.path);
    return 0;
}

static int end(int command)
{
    sync();
    reboot(command);
    perror("imgbuild: reboot");
    return -1;
}

/* Unattended, the machine is switched off: started again with the stick in it, it would be
 * installed again. */
static int install_unattended(struct ib_error **err)
{
    if (install(NULL, false, err) < 0)
        return -1;
    ib_console_say("done; the machine goes off: take the stick out and switch it on");
    return end(RB_POWER_OFF);
}

/* What to do after a failure, a success, or in rescue mode. */
static int menu(bool *ret_again)
{
    for (;;) {
        _cleanup_(ib_freep) char *answer = ib_console_ask("Type install, shell, reboot or off: ");
        *ret_again = ib_streq(answer, "install");
        if (!answer || *ret_again)
            return 0;
        if (ib_streq(answer, "reboot"))
            return end(RB_AUTOBOOT);
        if (ib_streq(answer, "off"))
            return end(RB_POWER_OFF);
        if (ib_streq(answer, "shell")) {
            _cleanup_(ib_error_freep) struct ib_error *err = NULL;
            if (ib_console_shell(&err) < 0)
                ib_error_print(err, "imgbuild", stdout);
        }
    }
}

static int do_install_console(bool unattended, struct ib_error **err)
{
    bool again = true;

    while (again) {
        _cleanup_(ib_error_freep) struct ib_error *failed = NULL;
        int r = unattended ? install_unattended(&failed) : install(NULL, true, &failed);
        if (r < 0)
            ib_error_print(failed, "imgbuild", stdout);
        else
            ib_console_say("take the stick out, then restart the machine");
        unattended = false;
        if (menu(&again) < 0)
            return ib_fail(err, IB_E_IO, errno, NULL, "restart the machine");
    }
    return 0;
}

static int do_rescue(struct ib_error **err)
{
    _cleanup_(ib_stick_close) struct ib_stick stick = {.fd = -1};
    _cleanup_(ib_error_freep) struct ib_error *no_stick = NULL;

    if (open_stick(&stick, &no_stick) < 0)
        ib_error_print(no_stick, "imgbuild", stdout);
    printf("\nThis is the rescue shell of a recovery stick. The machine's disks:\n");
    if (list_disks(err) < 0)
        return -1;
    printf("Nodes on the stick:\n");
    list_nodes(&stick);
    printf("Commands: imgbuild-installer install [NODE] | nodes | disks | flash FILE DEVICE;\n"
           "reboot -f restarts, poweroff -f switches off. Nothing is mounted.\n");
    fflush(stdout);
    ib_stick_close(&stick);
    return ib_console_shell(err);
}

static int do_console(char **argv _unused_, struct ib_error **err)
{
    _cleanup_(ib_freep) char *cmdline = read_cmdline(err);

    if (!cmdline)
        return -1;
    _cleanup_(ib_freep) char *mode = ib_cmdline_value(cmdline, "imgbuild.install");
    /* an argument that was added later, by hand or by the machine's firmware, decides */
    if (ib_cmdline_has(cmdline, "imgbuild.rescue"))
        return do_rescue(err);
    return do_install_console(ib_streq(mode, "yes"), err);
}

/* --- from the shell ----------------------------------------------------------------------------
 */

static int do_install(char **argv, struct ib_error **err)
{
    return install(argv[0], true, err);
}

static int do_nodes(char **argv _unused_, struct ib_error **err)
{
    _cleanup_(ib_stick_close) struct ib_stick stick = {.fd = -1};

    if (open_stick(&stick, err) < 0)
        return -1;
    list_nodes(&stick);
    return 0;
}

static int do_disks(char **argv _unused_, struct ib_error **err)
{
    return list_disks(err);
}

static int confirm_disk(const struct ib_disk *d, struct ib_error **err)
{
    _cleanup_(ib_freep) char *answer = ib_console_ask("Type %s to overwrite it: ", d->name);

    if (answer && (ib_streq(answer, d->name) || ib_streq(answer, d->path)))
        return 0;
    return ib_failf(err, IB_E_REFUSED, "%s was not named: nothing was written", d->path);
}

static int do_flash(char **argv, struct ib_error **err)
{
    _cleanup_(ib_progress_freep) struct ib_progress *progress = ib_console_progress();
    _cleanup_(ib_closep) int fd = argv[0] ? ib_open_read(argv[0], err) : -1;
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    _cleanup_(ib_flash_plan_clear) struct ib_flash_plan plan = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_flash_result result;

    if (!argv[0] || !argv[1])
        return ib_failf(err, IB_E_USAGE, "an image and a device are needed");
    struct ib_source *source = fd < 0 ? NULL : ib_source_open_fd(fd, argv[0], err);
    _cleanup_(ib_flash_image_freep) struct ib_flash_image *image =
        source ? ib_flash_image_open_source(source, err) : NULL;
    if (!image || ib_disk_choose(argv[1], false, &disk, err) < 0 ||
        ib_disk_refuse_if_holds(&disk, fd, argv[0], err) < 0 || ib_disk_check(&disk, err) < 0 ||
        ib_flash_plan_make(image, &disk, 0, NULL, &plan, err) < 0)
        return -1;
    ib_flash_plan_describe(image, &plan, &disk, NULL, &text);
    fwrite(text.data, 1, text.size, stdout);
    if (confirm_disk(&disk, err) < 0)
        return -1;
    _cleanup_(ib_target_freep) struct ib_target *target = ib_target_open_disk(&disk, err);
    const struct ib_flash_options options = {.progress = progress};
    return target ? ib_flash_run(image, &plan, target, &options, &result, err) : -1;
}

static const struct verb {
    const char *name, *arguments;
    int (*run)(char **argv, struct ib_error **err);
    const char *summary;
} verbs[] = {
    {"console", "", do_console, "what the kernel's command line asks for"},
    {"install", "[NODE]", do_install, "install this machine from the stick"},
    {"nodes", "", do_nodes, "list the nodes on the stick"},
    {"disks", "", do_disks, "list this machine's disks"},
    {"flash", "FILE DEVICE", do_flash, "write an image to a disk"},
};

static int usage(FILE *out)
{
    fprintf(out, "usage: imgbuild-installer VERB\n");
    for (size_t i = 0; i < IB_ARRAY_SIZE(verbs); i++)
        fprintf(out, "  %-8s %-12s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    umask(022);
    if (argc == 2 && ib_streq(argv[1], "--help"))
        return usage(stdout);
    for (size_t i = 0; argc >= 2 && argc <= 4 && i < IB_ARRAY_SIZE(verbs); i++) {
        if (!ib_streq(argv[1], verbs[i].name))
            continue;
        if (verbs[i].run(argv + 2, &err) == 0)
            return 0;
        ib_error_print(err, "imgbuild", stderr);
        return ib_error_exit_status(ib_error_code(err));
    }
    return usage(stderr);
}
