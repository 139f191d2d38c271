/* SPDX-License-Identifier: Apache-2.0 */
#include "os/signature.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"

enum { MAX_KEY_SIZE = 1 << 20, MAX_TEXT_SIZE = 16 << 20 };

static const char BEGIN[] = "-----BEGIN PGP ";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One line of base64, with `bits` left over from the line before. False where it is not base64. */
static bool decode_line(const char *line, size_t length, uint32_t *bits, unsigned *count,
                        struct ib_buf *ret)
{
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '=' || line[i] == '\r')
            continue;
        int v = base64_value(line[i]);
        if (v < 0)
            return false;
        *bits = *bits << 6 | (uint32_t)v;
        *count += 6;
        if (*count >= 8) {
            *count -= 8;
            ib_buf_append(ret, &(unsigned char){(unsigned char)(*bits >> *count)}, 1);
        }
    }
    return true;
}

static bool is_blank(const char *line, size_t length)
{
    return strspn(line, " \t\r") >= length;
}

int ib_armor_decode(const char *name, const void *data, size_t size, struct ib_buf *ret,
                    struct ib_error **err)
{
    _cleanup_(ib_freep) char *text = ib_strndup(data, size);
    enum { HEADER, BODY } state = HEADER;
    uint32_t bits = 0;
    unsigned count = 0;
    char *line = strstr(text, BEGIN);

    ib_buf_clear(ret);
    if (!line) {
        ib_buf_append(ret, data, size);
        return 0;
    }
    for (line = strchrnul(line, '\n'); *line; line = strchrnul(line, '\n')) {
        line++;
        size_t length = strcspn(line, "\n");
        if (ib_startswith(line, "-----END PGP "))
            return 0;
        if (state == HEADER && is_blank(line, length))
            state = BODY;
        else if (state == BODY && *line != '=' && /* "=…": the checksum, which protects nothing */
                 !decode_line(line, length, &bits, &count, ret))
            return ib_failf(err, IB_E_INVALID, "'%s' is not a PGP key: bad base64", name);
    }
    return ib_failf(err, IB_E_INVALID, "'%s' is not a whole PGP key: its end is missing", name);
}

/* gpgv wants a keyring of plain packets. */
static int write_keyring(const char *key_path, const char *keyring, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf key = {0}, packets = {0};

    if (ib_read_file(key_path, MAX_KEY_SIZE, &key, err) < 0 ||
        ib_armor_decode(key_path, key.data, key.size, &packets, err) < 0 ||
        ib_atomic_write(keyring, 0600, packets.data, packets.size, err) < 0)
        return ib_wrap(err, key_path, "read the key");
    return 0;
}

/* gnupg's doc/DETAILS, "Format of the --status-fd output". */
struct verdict {
    unsigned good, bad;
    const char *why; /* of the last bad line */
    struct ib_signature signature;
};

static void read_status_line(const char *line, struct verdict *v)
{
    static const struct {
        const char *keyword, *why;
    } bad[] = {
        {"BADSIG ", "the signature does not match the text"},
        {"ERRSIG ", "it is signed by another key, or in a way that gpgv does not know"},
        {"NO_PUBKEY ", "it is signed by another key"},
        {"EXPSIG ", "the signature has expired"},
        {"EXPKEYSIG ", "the key has expired"},
        {"REVKEYSIG ", "the key was revoked"},
        {"NODATA ", "there is no signature in it"},
    };
    char subkey[IB_FINGERPRINT_SIZE], primary[IB_FINGERPRINT_SIZE];
    long long made;

    for (size_t i = 0; i < IB_ARRAY_SIZE(bad); i++) {
        if (ib_startswith(line, bad[i].keyword)) {
            v->bad++;
            v->why = bad[i].why;
        }
    }
    /* VALIDSIG FPR DATE TIMESTAMP EXPIRES VERSION RESERVED PKALGO HASH CLASS PRIMARY-FPR */
    if (sscanf(line, "VALIDSIG %40s %*s %lld %*s %*s %*s %*s %*s %*s %40s", subkey, &made,
               primary) != 3)
        return;
    v->good++;
    memcpy(v->signature.fingerprint, primary, sizeof(primary));
    v->signature.made_s = made;
}

static void read_status(const char *status, struct verdict *v)
{
    static const char prefix[] = "[GNUPG:] ";

    for (const char *line = status; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (ib_startswith(line, prefix))
            read_status_line(line + strlen(prefix), v);
}

static int judge(const char *name, const struct verdict *v, int exit_status,
                 const char *fingerprint, struct ib_error **err)
{
    if (v->bad || !v->good || exit_status != 0) {
        ib_failf(err, IB_E_VERIFY, "%s", v->why ? v->why : "gpgv finds no valid signature");
        return ib_wrap(err, name, "verify the signature of");
    }
    if (fingerprint && strcasecmp(fingerprint, v->signature.fingerprint) != 0) {
        ib_failf(err, IB_E_VERIFY, "it is signed by the key %s instead of %s",
                 v->signature.fingerprint, fingerprint);
        return ib_wrap(err, name, "verify the signature of");
    }
    return 0;
}

static int run_gpgv(const char *dir, const char *keyring, const char *document, const char *text,
                    struct ib_progress *progress, struct ib_buf *ret_status, int *ret_exit,
                    struct ib_error **err)
{
    const char *const argv[] = {"gpgv", "--homedir", dir,  "--keyring", keyring, "--status-fd",
                                "1",    "--output",  text, document,    NULL};

    if (ib_run(
            &(struct ib_run){
                .argv = argv, .out = ret_status, .progress = progress, .ret_status = ret_exit},
            err) < 0)
        return -1;
    ib_buf_append(ret_status, "", 0);
    return 0;
}

int ib_signature_open_clear(const char *name, const void *data, size_t size, const char *key_path,
                            const char *fingerprint, struct ib_progress *progress,
                            struct ib_buf *ret_text, struct ib_signature *ret,
                            struct ib_error **err)
{
    const char *tmp = getenv("TMPDIR");
    _cleanup_(ib_temp_dirp) char *dir =
        ib_make_temp_dir(tmp && *tmp ? tmp : "/tmp", "imgbuild-gpgv", err);
    _cleanup_(ib_buf_clear) struct ib_buf status = {0};
    struct verdict v = {0};
    int exit_status = 0;

    if (!dir)
        return -1;
    _cleanup_(ib_freep) char *keyring = ib_path_join(dir, "keyring.gpg");
    _cleanup_(ib_freep) char *document = ib_path_join(dir, "document");
    _cleanup_(ib_freep) char *text = ib_path_join(dir, "text");
    if (write_keyring(key_path, keyring, err) < 0 ||
        ib_atomic_write(document, 0600, data, size, err) < 0 ||
        run_gpgv(dir, keyring, document, text, progress, &status, &exit_status, err) < 0)
        return -1;
    read_status((const char *)status.data, &v);
    if (judge(name, &v, exit_status, fingerprint, err) < 0)
        return -1;
    if (!ib_path_exists(text)) /* a signature that is not around a text of its own */
        return ib_failf(err, IB_E_VERIFY, "'%s' is signed, but holds no signed text", name);
    if (ib_read_file(text, MAX_TEXT_SIZE, ret_text, err) < 0)
        return -1;
    *ret = v.signature;
    return 0;
}
