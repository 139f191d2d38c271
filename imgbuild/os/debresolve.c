/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debresolve.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"

#define HOST_KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

enum { MAX_KEYRING = 4 << 20, MAX_RELEASE = 4 << 20, MAX_PACKAGES = 20000 };

struct ib_debresolve {
    char *dir;
    char *env; /* APT_CONFIG=… */
    char *suite;
    struct ib_progress *progress;
    int64_t date_s;
};

static const struct {
    const char *ours, *debian;
} architectures[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};

const char *ib_debian_architecture(const char *architecture)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(architectures); i++)
        if (ib_streq(architectures[i].ours, architecture))
            return architectures[i].debian;
    return NULL;
}

/* The place that apt sees as its own. */

static int make_directories(const char *dir, struct ib_error **err)
{
    static const char *const names[] = {
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "etc/apt/trusted.gpg.d",
        "etc/apt/auth.conf.d",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/lib/dpkg",
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(dir, names[i]);
        if (ib_mkdir_p(path, err) < 0)
            return -1;
    }
    return 0;
}

static int write_text(const char *dir, const char *name, const char *text, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);

    return ib_atomic_write(path, 0644, text, strlen(text), err);
}

static int write_settings(const struct ib_debresolve *r, const struct ib_debresolve_options *o,
                          struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_buf_printf(&text,
                  "APT::Architecture \"%s\";\n"
                  "APT::Architectures { \"%s\"; };\n"
                  "APT::Install-Recommends \"false\";\n"
                  "APT::Install-Suggests \"false\";\n"
                  "APT::Sandbox::User \"root\";\n" /* _apt may not enter the cache */
                  "APT::Update::Error-Mode \"any\";\n"
                  "Acquire::ForceHash \"SHA256\";\n"
                  "Acquire::Languages \"none\";\n"
                  "Acquire::Retries \"3\";\n"
                  "Acquire::http::Timeout \"30\";\n"
                  "Acquire::https::Timeout \"30\";\n"
                  "Dir \"%s/\";\n"
                  "Dir::State::status \"%s/var/lib/dpkg/status\";\n",
                  o->architecture, o->architecture, r->dir, r->dir);
    if (o->snapshot) /* an old index may have outlived its Valid-Until: that is the point of it */
        ib_buf_append_str(&text, "Acquire::Check-Valid-Until \"false\";\n");
    if (write_text(r->dir, "var/lib/dpkg/status", "", err) < 0)
        return -1;
    return write_text(r->dir, "apt.conf", (const char *)text.data, err);
}

static int copy_keyring(const struct ib_debresolve *r, const char *keyring, struct ib_error **err)
{
    const char *from = keyring ? keyring : HOST_KEYRING;
    _cleanup_(ib_buf_clear) struct ib_buf keys = {0};

    if (!keyring && !ib_path_exists(HOST_KEYRING)) {
        ib_failf(err, IB_E_UNSUPPORTED, "the keys of Debian's archive are not installed");
        return ib_hint(err, "install debian-archive-keyring, or keep the key in the project and "
                            "name it as the base's signing_key");
    }
    if (ib_read_file(from, MAX_KEYRING, &keys, err) < 0)
        return -1;
    const bool armored = keys.size > 10 && memcmp(keys.data, "-----BEGIN", 10) == 0;
    _cleanup_(ib_freep) char *to =
        ib_asprintf("%s/etc/apt/trusted.gpg.d/keyring.%s", r->dir, armored ? "asc" : "gpg");
    return ib_atomic_write(to, 0644, keys.data, keys.size, err);
}

/* Running apt-get. */

/* The lines of apt's output that say what is wrong, joined: "E: …", "Err:…" and unmet needs. */
static char *complaints(const struct ib_buf *output, const struct ib_buf *log)
{
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0}, kept = {0};

    if (output->size)
        ib_strv_split(&lines, (const char *)output->data, "\n");
    if (log->size)
        ib_strv_split(&lines, (const char *)log->data, "\n");
    for (size_t i = 0; i < lines.count; i++) {
        const char *line = lines.items[i];
        if (ib_startswith(line, "E: "))
            ib_strv_add(&kept, line + 3);
        else if (ib_startswith(line, "W: GPG error"))
            ib_strv_add(&kept, line + 3);
        else if (*line == ' ' && strstr(line, " : "))
            ib_strv_add(&kept, line + strspn(line, " "));
    }
    return kept.count ? ib_strv_join(&kept, "; ") : ib_strdup("it printed no reason");
}

static enum ib_error_code kind_of(const char *why)
{
    if (strstr(why, "GPG error") || strstr(why, "is not signed") || strstr(why, "NO_PUBKEY"))
        return IB_E_VERIFY;
    if (strstr(why, "Unable to locate package") || strstr(why, "has no installation candidate"))
        return IB_E_NOT_FOUND;
    if (strstr(why, "Failed to fetch") || strstr(why, "Unable to connect") ||
        strstr(why, "does not have a Release file"))
        return IB_E_NETWORK;
    if (strstr(why, "unmet dependencies") || strstr(why, "Unable to correct problems"))
        return IB_E_INVALID;
    return IB_E_CHILD;
}

static int run_apt(const struct ib_debresolve *r, const char *const *argv, struct ib_buf *out,
                   struct ib_error **err)
{
    const char *const env[] = {r->env, NULL};
    _cleanup_(ib_buf_clear) struct ib_buf log = {0};
    int status = 0;
    _cleanup_(ib_freep) char *program = ib_find_program(argv[0]);

    if (!program) {
        ib_failf(err, IB_E_UNSUPPORTED, "'apt-get' is needed to lock a Debian suite");
        return ib_hint(err, "install apt, or run 'imgbuild lock' on a Debian or Ubuntu machine: "
                            "the lock then serves everywhere");
    }
    if (ib_run(&(struct ib_run){.argv = argv,
                                .env = env,
                                .cwd = r->dir,
                                .out = out,
                                .log = &log,
                                .progress = r->progress,
                                .ret_status = &status},
               err) < 0)
        return -1;
    if (status == 0)
        return 0;
    ib_buf_append(out, "", 0);
    ib_buf_append(&log, "", 0);
    _cleanup_(ib_freep) char *why = complaints(out, &log);
    return ib_failf(err, kind_of(why), "apt says: %s", why);
}

static int update_from(const struct ib_debresolve *r, const char *mirror,
                       const struct ib_debresolve_options *o, struct ib_error **err)
{
    static const char *const argv[] = {"apt-get", "-q", "update", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    _cleanup_(ib_freep) char *components = o->components && o->components->count
                                               ? ib_strv_join(o->components, " ")
                                               : ib_strdup("main");
    _cleanup_(ib_freep) char *line = ib_asprintf("deb %s %s %s\n", mirror, o->suite, components);

    if (strpbrk(mirror, " \t\n[]\"") || strpbrk(o->suite, " \t\n\""))
        return ib_failf(err, IB_E_INVALID, "'%s' cannot be a mirror", mirror);
    if (write_text(r->dir, "etc/apt/sources.list", line, err) < 0)
        return -1;
    if (run_apt(r, argv, &out, err) < 0)
        return ib_wrap(err, mirror, "read the suite's index from");
    return 0;
}

static int update(const struct ib_debresolve *r, const struct ib_debresolve_options *o,
                  struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv mirrors = {0};

    if (o->snapshot)
        ib_strv_addf(&mirrors, "https://snapshot.debian.org/archive/debian/%s", o->snapshot);
    else if (o->mirrors)
        ib_strv_append(&mirrors, o->mirrors);
    if (!mirrors.count)
        return ib_failf(err, IB_E_INVALID, "no mirror is known for the suite '%s'", o->suite);
    for (size_t i = 0;; i++) {
        if (update_from(r, mirrors.items[i], o, err) == 0)
            return 0;
        if (i + 1 == mirrors.count || ib_progress_cancelled(o->progress))
            return -1;
        ib_progress_note(o->progress, "%s does not answer as it should; trying %s",
                         mirrors.items[i], mirrors.items[i + 1]);
        ib_error_clear(err);
    }
}

/* The suite's date: "Date: Sat, 12 Sep 2026 07:55:41 UTC" (Debian wiki, DebianRepository/Format).
 */

static int month_number(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *at = strlen(name) == 3 ? strstr(names, name) : NULL;

    return at && (at - names) % 3 == 0 ? (int)(at - names) / 3 : -1;
}

static bool parse_date(const char *release, int64_t *ret)
{
    const char *line = ib_startswith(release, "Date: ") ? release : strstr(release, "\nDate: ");
    struct tm tm = {0};
    char month[4];

    if (!line || sscanf(line + strspn(line, "\n"), "Date: %*3s, %2d %3s %4d %2d:%2d:%2d UTC",
                        &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        return false;
    tm.tm_mon = month_number(month);
    tm.tm_year -= 1900;
    *ret = tm.tm_mon < 0 ? -1 : (int64_t)timegm(&tm);
    return *ret > 0;
}

/* apt has checked it: InRelease (all of it is signed text), or Release with Release.gpg beside it.
 */
static int read_date(struct ib_debresolve *r, struct ib_error **err)
{
    _cleanup_(ib_freep) char *lists = ib_path_join(r->dir, "var/lib/apt/lists");
    _cleanup_(ib_closedirp) DIR *dir = opendir(lists);

    for (struct dirent *e; dir && (e = readdir(dir));) {
        _cleanup_(ib_buf_clear) struct ib_buf text = {0};
        _cleanup_(ib_freep) char *path = ib_path_join(lists, e->d_name);
        if (!ib_endswith(e->d_name, "_InRelease") && !ib_endswith(e->d_name, "_Release"))
            continue;
        if (ib_read_file(path, MAX_RELEASE, &text, err) < 0)
            return -1;
        if (parse_date((const char *)text.data, &r->date_s))
            return 0;
    }
    return ib_failf(err, IB_E_INVALID, "the index of the suite '%s' has no date", r->suite);
}

struct ib_debresolve *ib_debresolve_open(const struct ib_debresolve_options *options,
                                         struct ib_error **err)
{
    _cleanup_(ib_debresolve_freep) struct ib_debresolve *r = ib_calloc(1, sizeof(*r));

    r->suite = ib_strdup(options->suite);
    r->progress = options->progress;
    r->dir = ib_make_temp_dir(options->scratch_dir, "apt", err);
    if (!r->dir)
        return NULL;
    r->env = ib_asprintf("APT_CONFIG=%s/apt.conf", r->dir);
    if (strpbrk(r->dir, "\"\n\\")) { /* apt's settings know no escapes */
        ib_failf(err, IB_E_UNSUPPORTED, "apt cannot work in '%s'", r->dir);
        ib_hint(err, "choose a cache without quotes in its name with IMGBUILD_CACHE=DIR");
        return NULL;
    }
    if (make_directories(r->dir, err) < 0 || write_settings(r, options, err) < 0 ||
        copy_keyring(r, options->keyring, err) < 0 || update(r, options, err) < 0 ||
        read_date(r, err) < 0) {
        ib_wrap(err, options->suite, "resolve packages of the suite");
        return NULL;
    }
    return ib_steal(&r);
}

struct ib_debresolve *ib_debresolve_free(struct ib_debresolve *resolve)
{
    if (resolve) {
        ib_temp_dirp(&resolve->dir);
        free(resolve->env);
        free(resolve->suite);
        free(resolve);
    }
    return NULL;
}

void ib_debresolve_freep(struct ib_debresolve **resolve)
{
    *resolve = ib_debresolve_free(*resolve);
}

int64_t ib_debresolve_date(const struct ib_debresolve *resolve)
{
    return resolve->date_s;
}

/* What apt prints. */

struct package_list {
    struct ib_lock_package *items;
    size_t count;
};

static void package_list_clear(struct package_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        ib_lock_package_clear(&list->items[i]);
    free(list->items);
}

/* "NAME_VERSION_ARCH.deb", where the version's epoch is percent-encoded. */
static bool split_file_name(const char *file, struct ib_lock_package *p)
{
    const char *first = strchr(file, '_'), *last = strrchr(file, '_');
    struct ib_buf version = {0};

    if (!first || first == last || !ib_endswith(file, ".deb"))
        return false;
    for (const char *c = first + 1; c < last; c++) {
        unsigned char byte;
        if (*c == '%' && last - c > 2) {
            const char pair[3] = {c[1], c[2], 0};
            if (!ib_unhex(pair, &byte, 1) || !byte)
                break;
            ib_buf_append(&version, &byte, 1);
            c += 2;
        } else {
            ib_buf_append(&version, c, 1);
        }
    }
    p->name = ib_strndup(file, (size_t)(first - file));
    p->version = ib_buf_steal_string(&version);
    p->architecture = ib_strndup(last + 1, strlen(last + 1) - strlen(".deb"));
    return *p->name && *p->version && *p->architecture;
}

/* "'URL' FILE SIZE SHA256:HEX" (apt-get(8), --print-uris), among lines for people */
static bool parse_line(const char *line, struct ib_lock_package *p)
{
    char file[512], size[24], hash[80];
    const char *end = *line == '\'' ? strchr(line + 1, '\'') : NULL;

    if (!end || sscanf(end + 1, " %511s %23s %79s", file, size, hash) != 3)
        return false;
    p->url = ib_strndup(line + 1, (size_t)(end - line) - 1);
    return split_file_name(file, p) && ib_parse_u64(size, INT64_MAX, &p->size_bytes) &&
           ib_startswith(hash, "SHA256:") && ib_sha256_parse(hash + 7, &p->sha256);
}

static int parse_output(const char *text, struct package_list *list, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    ib_strv_split(&lines, text, "\n");
    if (lines.count > MAX_PACKAGES)
        return ib_failf(err, IB_E_INVALID, "apt lists more than %d packages", MAX_PACKAGES);
    list->items = ib_calloc(lines.count, sizeof(list->items[0]));
    for (size_t i = 0; i < lines.count; i++)
        if (lines.items[i][0] == '\'' && !parse_line(lines.items[i], &list->items[list->count++]))
            return ib_failf(err, IB_E_INVALID, "apt printed what we do not understand: %s",
                            lines.items[i]);
    if (!list->count)
        return ib_failf(err, IB_E_INVALID, "apt lists no package at all");
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct ib_lock_package *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : strcmp(x->architecture, y->architecture);
}

/* Debian Policy 5.6.1; a '-' at the end would ask apt to remove the package. */
static bool is_package_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

    return n >= 2 && !name[n] && name[0] != '+' && name[0] != '-' && name[0] != '.' &&
           name[n - 1] != '-';
}

static int make_argv(const char *const *names, size_t count, struct ib_strv *argv,
                     struct ib_error **err)
{
    static const char *const head[] = {"apt-get", "-q",         "--yes", "--print-uris",
                                       "install", "?essential", "apt",   NULL};

    ib_strv_add_all(argv, head);
    for (size_t i = 0; i < count; i++) {
        if (!is_package_name(names[i]))
            return ib_failf(err, IB_E_INVALID, "'%s' cannot be the name of a Debian package",
                            names[i]);
        ib_strv_add(argv, names[i]);
    }
    return 0;
}

int ib_debresolve_packages(struct ib_debresolve *resolve, const char *const *names, size_t count,
                           struct ib_lock_package **ret, size_t *ret_count, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    _cleanup_(package_list_clear) struct package_list list = {0};

    if (make_argv(names, count, &argv, err) < 0 ||
        run_apt(resolve, (const char *const *)argv.items, &out, err) < 0 ||
        parse_output(out.data ? (const char *)out.data : "", &list, err) < 0)
        return ib_wrap(err, resolve->suite, "resolve packages of the suite");
    qsort(list.items, list.count, sizeof(list.items[0]), by_name);
    *ret = list.items;
    *ret_count = list.count;
    list = (struct package_list){0};
    return 0;
}
