/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and signatures against the real minisign program, both ways, and trust in them. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "../../imgbuild/io/blake2b.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/subprocess.h"
#include "io/minisign.h"
#include "io/trust.h"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
    unsetenv("IMGBUILD_KEY");
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(minisign, .init = make_dir, .fini = remove_dir, .timeout = 100);
TestSuite(trust, .init = make_dir, .fini = remove_dir, .timeout = 100);

static const char message[] = "{\"format\":1}\n";
enum { MESSAGE_SIZE = sizeof(message) - 1 };

static char *in_dir(const char *name)
{
    return ib_path_join(dir, name);
}

static char *put(const char *name, const void *data, size_t size)
{
    char *path = in_dir(name);

    cr_assert_eq(ib_write_file(path, 0600, data, size, NULL), 0);
    return path;
}

static void get(const char *name, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *path = in_dir(name);
    struct ib_error *err = NULL;

    cr_assert_eq(ib_read_file(path, 1 << 20, ret, &err), 0, "%s", ib_error_text(err));
}

static void need_minisign(void)
{
    char *program = ib_find_program("minisign");

    if (!program)
        cr_skip_test("minisign is not installed");
    free(program);
}

/* Runs minisign in the directory; stdin comes from the file `input` where it is not NULL. */
static int run_minisign(const char *const *argv, const char *input)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_closep) int in = -1;
    int status = 0;

    if (input) {
        _cleanup_(ib_freep) char *path = put("stdin", input, strlen(input));
        in = ib_open_read(path, NULL);
    }
    cr_assert_eq(
        ib_run(&(struct ib_run){.argv = argv, .cwd = dir, .stdin_fd = in, .ret_status = &status},
               &err),
        0, "%s", ib_error_text(err));
    return status;
}

#define minisign(...) run_minisign((const char *const[]){"minisign", __VA_ARGS__, NULL}, NULL)

static void new_key(struct ib_minisign_secret *ret)
{
    struct ib_error *err = NULL;

    cr_assert_eq(ib_minisign_secret_generate(ret, &err), 0, "%s", ib_error_text(err));
}

static char *put_public(const char *name, const struct ib_minisign_public *key)
{
    struct ib_buf text = {0};

    ib_minisign_public_print(key, &text);
    char *path = put(name, text.data, text.size);
    ib_buf_clear(&text);
    return path;
}

static char *passphrase(const char *name, void *userdata, struct ib_error **err)
{
    cr_assert_not_null(name);
    if (!userdata)
        ib_failf(err, IB_E_USAGE, "no terminal");
    return ib_strdup(userdata);
}

Test(minisign, blake2b_is_that_of_rfc_7693)
{
    uint8_t data[BLAKE2B_BLOCK], ours[64], theirs[64];
    unsigned n;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof(data); size++) {
        ib_blake2b_block(data, size, ours, 64);
        cr_assert_eq(EVP_Digest(data, size, theirs, &n, EVP_blake2b512(), NULL), 1);
        cr_assert_eq(memcmp(ours, theirs, 64), 0, "%zu bytes", size);
    }
    char hex[65]; /* b2sum -l 256 of "abc" */
    ib_blake2b_block((const uint8_t *)"abc", 3, ours, 32);
    cr_assert_str_eq(ib_hex(ours, 32, hex),
                     "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

Test(minisign, the_program_verifies_what_we_sign)
{
    struct ib_minisign_secret key;
    struct ib_buf signature = {0}, again = {0};

    need_minisign();
    new_key(&key);
    ib_minisign_sign(&key, message, MESSAGE_SIZE, "file:m\tnode:odin", &signature);
    ib_minisign_sign(&key, message, MESSAGE_SIZE, "file:m\tnode:odin", &again);
    cr_assert(signature.size == again.size && memcmp(signature.data, again.data, again.size) == 0);
    free(put("m", message, MESSAGE_SIZE));
    free(put("m.minisig", signature.data, signature.size));
    free(put_public("k.pub", &key.public));
    cr_assert_eq(minisign("-V", "-H", "-p", "k.pub", "-m", "m"), 0);
    free(put("m", "changed", 7));
    cr_assert_neq(minisign("-V", "-p", "k.pub", "-m", "m"), 0);
    ib_buf_clear(&signature), ib_buf_clear(&again);
}

static void expect_verified(const char *signature_name, bool prehashed, const char *comment)
{
    struct ib_buf public_text = {0}, text = {0};
    struct ib_minisign_public key;
    struct ib_minisign_signature s = {0};
    struct ib_error *err = NULL;

    get("k.pub", &public_text), get(signature_name, &text);
    cr_assert_eq(ib_minisign_public_parse(public_text.data, public_text.size, "k.pub", &key, &err),
                 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_minisign_signature_parse(text.data, text.size, signature_name, &s, &err), 0,
                 "%s", ib_error_text(err));
    cr_assert_eq(s.prehashed, prehashed);
    cr_assert_str_eq(s.trusted_comment, comment);
    cr_assert_eq(ib_minisign_verify(&key, &s, message, MESSAGE_SIZE, "m", &err), 0, "%s",
                 ib_error_text(err));
    cr_assert_eq(ib_minisign_verify(&key, &s, message, MESSAGE_SIZE - 1, "m", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    s.trusted_comment[0] ^= 1;
    cr_assert_eq(ib_minisign_verify(&key, &s, message, MESSAGE_SIZE, "m", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    ib_minisign_signature_clear(&s), ib_buf_clear(&public_text), ib_buf_clear(&text);
}

Test(minisign, we_verify_what_the_program_signs)
{
    need_minisign();
    free(put("m", message, MESSAGE_SIZE));
    cr_assert_eq(minisign("-G", "-W", "-p", "k.pub", "-s", "k.key"), 0);
    cr_assert_eq(minisign("-S", "-s", "k.key", "-m", "m", "-t", "a comment", "-x", "new"), 0);
    cr_assert_eq(minisign("-S", "-l", "-s", "k.key", "-m", "m", "-t", "old", "-x", "legacy"), 0);
    expect_verified("new", true, "a comment");
    expect_verified("legacy", false, "old");
}

Test(minisign, we_use_the_program_s_keys)
{
    struct ib_minisign_secret key;
    struct ib_buf signature = {0};
    struct ib_error *err = NULL;

    need_minisign();
    free(put("m", message, MESSAGE_SIZE));
    cr_assert_eq(minisign("-G", "-W", "-p", "k.pub", "-s", "k.key"), 0);
    _cleanup_(ib_freep) char *path = in_dir("k.key");
    cr_assert_eq(ib_minisign_secret_load(path, NULL, NULL, &key, &err), 0, "%s",
                 ib_error_text(err));
    ib_minisign_sign(&key, message, MESSAGE_SIZE, "ours", &signature);
    free(put("m.minisig", signature.data, signature.size));
    cr_assert_eq(minisign("-V", "-p", "k.pub", "-m", "m"), 0);
    ib_buf_clear(&signature);
}

Test(minisign, the_program_uses_our_keys)
{
    struct ib_minisign_secret key;
    struct ib_buf text = {0};

    need_minisign();
    new_key(&key);
    cr_assert_eq(ib_minisign_secret_print(&key, NULL, &text, NULL), 0);
    free(put("k.key", text.data, text.size));
    free(put_public("k.pub", &key.public));
    free(put("m", message, MESSAGE_SIZE));
    cr_assert_eq(minisign("-S", "-s", "k.key", "-m", "m", "-t", "a", "-x", "new"), 0);
    expect_verified("new", true, "a");
    ib_buf_clear(&text);
}

/* scrypt takes 1 GiB and some seconds, three times. */
Test(minisign, passphrases_work_both_ways)
{
    struct ib_minisign_secret key, ours;
    struct ib_buf text = {0};
    struct ib_error *err = NULL;
    char good[] = "correct horse", bad[] = "battery staple";

    need_minisign();
    new_key(&key);
    cr_assert_eq(ib_minisign_secret_print(&key, good, &text, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_minisign_secret_parse(text.data, text.size, "k", passphrase, bad, &ours, &err),
                 -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    cr_assert_eq(ib_minisign_secret_parse(text.data, text.size, "k", passphrase, NULL, &ours, &err),
                 -1);
    cr_assert_eq(ib_error_code(err), IB_E_USAGE);
    ib_error_clear(&err);
    free(put("k.key", text.data, text.size));
    free(put_public("k.pub", &key.public));
    free(put("m", message, MESSAGE_SIZE));
    cr_assert_eq(run_minisign((const char *const[]){"minisign", "-S", "-s", "k.key", "-m", "m",
                                                    "-t", "a", "-x", "new", NULL},
                              "correct horse\n"),
                 0);
    expect_verified("new", true, "a");
    cr_assert_eq(run_minisign((const char *const[]){"minisign", "-G", "-f", "-p", "k.pub", "-s",
                                                    "k.key", NULL},
                              "correct horse\ncorrect horse\n"),
                 0);
    _cleanup_(ib_freep) char *path = in_dir("k.key");
    cr_assert_eq(ib_minisign_secret_load(path, passphrase, good, &ours, &err), 0, "%s",
                 ib_error_text(err));
    ib_buf_clear(&text);
}

/* A file of minisign 0.11, so that the format is tested where the program is missing. */
static const char public_text[] = "untrusted comment: minisign public key 93D7E5D7F8B33C9A\n"
                                  "RWSaPLP41+XXk0uD3iYxyJSvL3D2QfLxLFoFWR7JrGiZ6ThHyAhFYkIb\n";

Test(minisign, what_is_not_a_file_of_minisign_is_refused_by_line)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "k:1: not a public key of minisign: a line is missing"},
        {"RWSaPLP41+XXk0uD3iYxyJSvL3D2QfLxLFoFWR7JrGiZ6ThHyAhFYkIb\n", "k:1: "},
        {"untrusted comment: x\n", "k:2: "},
        {"untrusted comment: x\nRWSa\n", "k:2: "},
        {"untrusted comment: x\nRWSaPLP41+XXk0uD3iYxyJSvL3D2QfLxLFoFWR7JrGiZ6ThHyAhFYkI=\n",
         "k:2: "},
        {"untrusted comment: x\nXWSaPLP41+XXk0uD3iYxyJSvL3D2QfLxLFoFWR7JrGiZ6ThHyAhFYkIb\n",
         "k:2: not a public key of minisign: its algorithm is not Ed25519"},
        {"untrusted comment: x\nRWSaPLP41+XXk0uD3iYxyJSvL3D2QfLxLFoFWR7JrGiZ6ThHyAhFYkIb\n\n",
         "k:3: not a public key of minisign: more follows than there should"},
    };
    struct ib_minisign_public key;

    cr_assert_eq(ib_minisign_public_parse(public_text, sizeof(public_text) - 1, "k", &key, NULL),
                 0);
    char id[IB_MINISIGN_ID_TEXT_SIZE];
    cr_assert_str_eq(ib_minisign_id_text(key.id, id), "93D7E5D7F8B33C9A");
    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        struct ib_error *err = NULL;
        cr_assert_eq(
            ib_minisign_public_parse(cases[i].text, strlen(cases[i].text), "k", &key, &err), -1);
        cr_assert(ib_startswith(ib_error_line(err, 0), cases[i].expected), "%s",
                  ib_error_line(err, 0));
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        cr_assert_not_null(ib_error_hint(err));
        ib_error_clear(&err);
    }
}

/* Every byte of a signature's file matters, except the untrusted comment's. */
Test(minisign, no_byte_of_a_signature_can_change)
{
    struct ib_minisign_secret key;
    struct ib_buf text = {0};

    new_key(&key);
    ib_minisign_sign(&key, message, MESSAGE_SIZE, "c", &text);
    size_t first = (size_t)((unsigned char *)memchr(text.data, '\n', text.size) - text.data);
    for (size_t i = first; i + 1 < text.size; i++) {
        struct ib_minisign_signature s = {0};
        for (uint8_t mask = 1; mask < 0x80; mask = (uint8_t)(mask << 1)) {
            text.data[i] ^= mask;
            bool ok = ib_minisign_signature_parse(text.data, text.size, "s", &s, NULL) == 0 &&
                      ib_minisign_verify(&key.public, &s, message, MESSAGE_SIZE, "m", NULL) == 0;
            cr_assert_not(ok, "byte %zu, mask %x", i, mask);
            ib_minisign_signature_clear(&s);
            text.data[i] ^= mask;
        }
    }
    ib_buf_clear(&text);
}

/* A prehashed signature relabelled as an old one would be valid for the 64 bytes of the hash. */
Test(minisign, old_signatures_of_a_hash_are_refused)
{
    struct ib_minisign_secret key;
    struct ib_minisign_signature s = {0};
    struct ib_buf text = {0};
    struct ib_error *err = NULL;
    uint8_t digest[64];
    unsigned n;

    new_key(&key);
    ib_minisign_sign(&key, message, MESSAGE_SIZE, "c", &text);
    cr_assert_eq(ib_minisign_signature_parse(text.data, text.size, "s", &s, NULL), 0);
    s.prehashed = false;
    EVP_Digest(message, MESSAGE_SIZE, digest, &n, EVP_blake2b512(), NULL);
    cr_assert_eq(ib_minisign_verify(&key.public, &s, digest, 64, "m", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err), ib_minisign_signature_clear(&s), ib_buf_clear(&text);
}

static int verify(const struct ib_trust_sources *sources, const struct ib_buf *signature,
                  const char **ret_key)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_trust_freep) struct ib_trust *trust = ib_trust_load(sources, &err);
    static char path[256];
    const char *key = NULL;

    cr_assert_not_null(trust, "%s", ib_error_text(err));
    int r = ib_trust_verify(trust, message, MESSAGE_SIZE, signature->data, signature->size, "a",
                            &key, NULL, &err);
    snprintf(path, sizeof(path), "%s", key ? ib_path_base(key) : "");
    *ret_key = path;
    cr_assert(r == 0 || ib_error_code(err) == IB_E_VERIFY, "%s", ib_error_text(err));
    ib_error_clear(&err);
    return r;
}

Test(trust, the_first_source_that_names_keys_counts)
{
    struct ib_minisign_secret a, b, c, d;
    struct ib_buf by_a = {0}, by_b = {0}, by_c = {0}, by_d = {0}, none = {0};
    _cleanup_(ib_strv_clear) struct ib_strv files = {0};
    char *system_dir = in_dir("keys");
    const char *key;
    const struct ib_trust_sources nothing = {.system_dir = system_dir};
    struct ib_trust_sources sources = {.project_dir = dir, .system_dir = system_dir};

    new_key(&a), new_key(&b), new_key(&c), new_key(&d);
    ib_minisign_sign(&a, message, MESSAGE_SIZE, "c", &by_a);
    ib_minisign_sign(&b, message, MESSAGE_SIZE, "c", &by_b);
    ib_minisign_sign(&c, message, MESSAGE_SIZE, "c", &by_c);
    ib_minisign_sign(&d, message, MESSAGE_SIZE, "c", &by_d);
    cr_assert_eq(verify(&nothing, &none, &key), 0); /* no key: nothing is checked */
    cr_assert_str_eq(key, "");

    cr_assert_eq(ib_mkdir_p(system_dir, NULL), 0);
    free(put_public("keys/b.pub", &b.public));
    free(put_public("imgbuild.pub", &a.public));
    cr_assert_eq(verify(&sources, &none, &key), -1);
    cr_assert_eq(verify(&sources, &by_a, &key), 0);
    cr_assert_str_eq(key, "imgbuild.pub");
    cr_assert_eq(verify(&sources, &by_b, &key), 0);
    cr_assert_str_eq(key, "b.pub");
    cr_assert_eq(verify(&sources, &by_c, &key), -1);

    char *path = put_public("c.pub", &c.public), *twice = ib_asprintf("%s:%s", path, path);
    setenv("IMGBUILD_KEY", twice, 1);
    cr_assert_eq(verify(&sources, &by_c, &key), 0);
    cr_assert_eq(verify(&sources, &by_a, &key), -1);

    char *named = put_public("d.pub", &d.public);
    ib_strv_add(&files, named);
    sources.files = &files;
    cr_assert_eq(verify(&sources, &by_d, &key), 0);
    cr_assert_eq(verify(&sources, &by_c, &key), -1);
    free(path), free(twice), free(named), free(system_dir);
    ib_buf_clear(&by_a), ib_buf_clear(&by_b), ib_buf_clear(&by_c), ib_buf_clear(&by_d);
}

Test(trust, two_keys_of_one_id_are_both_tried)
{
    struct ib_minisign_secret a, b;
    struct ib_buf signature = {0};
    _cleanup_(ib_strv_clear) struct ib_strv files = {0};
    const struct ib_trust_sources sources = {.files = &files};
    const char *key;

    new_key(&a), new_key(&b);
    memcpy(b.public.id, a.public.id, sizeof(b.public.id));
    ib_strv_take(&files, put_public("a.pub", &a.public));
    ib_strv_take(&files, put_public("b.pub", &b.public));
    ib_minisign_sign(&b, message, MESSAGE_SIZE, "c", &signature);
    cr_assert_eq(verify(&sources, &signature, &key), 0);
    cr_assert_str_eq(key, "b.pub");
    ib_buf_clear(&signature);
}

Test(trust, a_key_that_is_none_is_an_error)
{
    _cleanup_(ib_strv_clear) struct ib_strv files = {0};
    const struct ib_trust_sources named = {.files = &files}, found = {.system_dir = dir};
    struct ib_error *err = NULL;

    ib_strv_take(&files, in_dir("missing.pub"));
    cr_assert_null(ib_trust_load(&named, &err));
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND, "%s", ib_error_text(err));
    ib_error_clear(&err);
    free(put("x.pub", "rubbish\n", 8));
    cr_assert_null(ib_trust_load(&found, &err));
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
}
