/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages by apt (apt.conf(5), dpkg(1)). What a job needs is gathered in one directory on the host
 * and copied into the sandbox as a whole; scripts/apt-job.sh does the work there.
 */
#include "base/file.h"
#include "os/debrepo.h"
#include "os/exclude.h"
#include "packages_internal.h"
#include "place.h"
#include "scripts.h"

/*
 * Everything apt writes goes below the place, everything it reads comes from there, and dpkg does
 * not wait for the disk: the tree is thrown away when the power fails.
 */
static char *make_config(const struct ib_package_job *job)
{
    const char *const *rules = job->exclude ? job->exclude : ib_exclude_default();
    struct ib_buf config = {0};

    ib_buf_append_str(&config,
                      "Dir::Etc::SourceList \"" IB_PLACE "/sources.list\";\n"
                      "Dir::Etc::SourceParts \"/dev/null\";\n"
                      "Dir::Etc::Preferences \"/dev/null\";\n"
                      "Dir::Etc::PreferencesParts \"/dev/null\";\n"
                      "Dir::State::Lists \"" IB_PLACE "/lists\";\n"
                      "Dir::Cache \"" IB_PLACE "/cache\";\n"
                      "Dir::Log \"" IB_PLACE "/log\";\n"
                      "Acquire::Languages \"none\";\n"
                      "APT::Sandbox::User \"root\";\n" /* _apt could not read what was copied in */
                      "APT::Get::Assume-Yes \"1\";\n"
                      "APT::Get::Allow-Downgrades \"1\";\n" /* the lock decides */
                      "APT::Install-Recommends \"0\";\n"
                      "APT::Install-Suggests \"0\";\n"
                      "DPkg::Use-Pty \"0\";\n"
                      "DPkg::Path \"" IB_PLACE "/bin:/usr/sbin:/usr/bin:/sbin:/bin\";\n"
                      "DPkg::Options:: \"--force-unsafe-io\";\n"
                      "DPkg::Options:: \"--force-confdef\";\n"
                      "DPkg::Options:: \"--force-confold\";\n"
                      "DPkg::Options:: \"--log=" IB_PLACE "/log/dpkg.log\";\n"
                      "DPkg::Options:: \"--post-invoke=" IB_PLACE "/bin/depmod --start\";\n");
    for (; *rules; rules++)
        if ((*rules)[0] == '!')
            ib_buf_printf(&config, "DPkg::Options:: \"--path-include=/%s\";\n", *rules + 1);
        else
            ib_buf_printf(&config, "DPkg::Options:: \"--path-exclude=/%s\";\n", *rules);
    return ib_buf_steal_string(&config);
}

static char *make_install_list(const struct ib_package_job *job)
{
    struct ib_buf list = {0};

    for (size_t i = 0; i < job->install_count; i++) {
        const struct ib_lock_package *p = job->install[i].package;
        ib_buf_printf(&list, "%s=%s\n", p->name, p->version);
    }
    return ib_buf_steal_string(&list);
}

static int make_repo(const struct ib_package_job *job, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_freep) struct ib_deb_file *files = ib_calloc(job->install_count, sizeof(*files));
    _cleanup_(ib_debset_clear) struct ib_debset set = {0};
    _cleanup_(ib_deb_list_clear) struct ib_deb_list list = {0};
    _cleanup_(ib_freep) char *repo = ib_path_join(dir, "repo");

    for (size_t i = 0; i < job->install_count; i++) {
        files[i].path = job->install[i].path;
        files[i].size_bytes = job->install[i].package->size_bytes;
        files[i].sha256 = job->install[i].package->sha256;
    }
    if (ib_debset_read(files, job->install_count, job->progress, &set, err) < 0)
        return -1;
    ib_debset_all(&set, &list);
    return ib_debrepo_make(repo, &list, job->progress, err);
}

static int make_place(const struct ib_package_job *job, const char *dir, struct ib_error **err)
{
    static const char *const dirs[] = {"bin", "lists/partial", "cache/archives/partial", "log"};
    _cleanup_(ib_freep) char *config = make_config(job);
    _cleanup_(ib_freep) char *install = make_install_list(job);
    _cleanup_(ib_freep) char *remove = ib_strv_join(job->remove, "\n");

    for (size_t i = 0; i < IB_ARRAY_SIZE(dirs); i++)
        if (ib_place_mkdir(dir, dirs[i], err) < 0)
            return -1;
    if (ib_place_write(dir, "apt.conf", 0644, config, err) < 0 ||
        ib_place_write(dir, "sources.list", 0644, "deb [trusted=yes] file:" IB_PLACE "/repo ./\n",
                       err) < 0 ||
        ib_place_write(dir, "packages.install", 0644, install, err) < 0 ||
        ib_place_write(dir, "packages.remove", 0644, remove, err) < 0 ||
        ib_place_write(dir, "policy-rc.d", 0755, "#!/bin/sh\nexit 101\n", err) < 0 ||
        ib_place_write(dir, "apt-job.sh", 0755, ib_script_apt_job, err) < 0 ||
        ib_place_write(dir, "bin/depmod", 0755, ib_script_depmod, err) < 0 ||
        /* host keys belong to a node, not to an image: openssh-server's script makes none */
        ib_place_write(dir, "bin/ssh-keygen", 0755, "#!/bin/sh\nexit 0\n", err) < 0)
        return -1;
    return make_repo(job, dir, err);
}

static int apt_apply(struct ib_sandbox *sandbox, const struct ib_package_job *job,
                     struct ib_error **err)
{
    static const char *const env[] = {
        "DEBIAN_FRONTEND=noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN=true",
        "DEBCONF_NOWARNINGS=yes",
        "INITRD=No",               /* kernel hooks of dracut and initramfs-tools do nothing */
        "KERNEL_INSTALL_BYPASS=1", /* likewise kernel-install(8) */
        NULL,
    };
    _cleanup_(ib_temp_dirp) char *dir = ib_place_new(job->scratch_dir, err);

    if (!dir || make_place(job, dir, err) < 0 || ib_place_enter(dir, sandbox, err) < 0 ||
        ib_place_run(sandbox, "apt-job.sh", NULL, env, job->date_s, err) < 0)
        return -1;
    return ib_place_leave(sandbox, err);
}

static int apt_query(struct ib_sandbox *sandbox, struct ib_buf *ret, struct ib_error **err)
{
    static const char *const argv[] = {"/bin/sh", "-c",
                                       /* only what is really there, not what left configuration */
                                       "dpkg-query --show --showformat="
                                       "'${db:Status-Status}\\t${Package}\\t${Version}\\t"
                                       "${Architecture}\\n' | sed -n 's/^installed\\t//p'",
                                       NULL};

    return ib_sandbox_run(sandbox, argv, NULL, ret, err);
}

const struct ib_package_manager ib_apt = {.name = "apt", .apply = apt_apply, .query = apt_query};
