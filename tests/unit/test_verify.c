/* SPDX-License-Identifier: Apache-2.0 */
/* Checksum files and their signatures: the real ones of Fedora, k3s and Argo CD, and spoilt ones.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "os/checksums.h"
#include "os/signature.h"

#define UPSTREAM IB_SHARED_DIR "/upstream/"
#define CHECKSUM UPSTREAM "Fedora-Cloud-44-1.7-aarch64-CHECKSUM"
#define KEY UPSTREAM "RPM-GPG-KEY-fedora-44-primary"
#define K3S_SUMS UPSTREAM "k3s-v1.36.4+k3s1-sha256sum-amd64.txt"
#define ARGOCD UPSTREAM "argocd-v3.5.1-install.yaml"
#define FINGERPRINT "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"
#define IMAGE "Fedora-Cloud-Base-Generic-44-1.7.aarch64.qcow2"
#define IMAGE_SHA256 "55c60a3b80d3616a08705afd0459e75fe9f03c54aba7a46e4002a41a72fa0d5b"

static void need(const char *path)
{
    if (!ib_path_exists(path))
        cr_skip_test("'%s' is not here", path);
}

static void need_gpgv(void)
{
    _cleanup_(ib_freep) char *gpgv = ib_find_program("gpgv");

    if (!gpgv)
        cr_skip_test("gpgv is not installed");
}

static void load(const char *path, struct ib_buf *ret)
{
    need(path);
    cr_assert_eq(ib_read_file(path, 4 * IB_MIB, ret, NULL), 0);
}

static void check_hash(const struct ib_checksum *item, const char *hex)
{
    char is[IB_SHA256_HEX_SIZE];

    cr_assert_not_null(item);
    cr_assert_str_eq(ib_sha256_hex(&item->sha256, is), hex);
}

static int open_clear(const struct ib_buf *document, const char *fingerprint, struct ib_buf *text,
                      struct ib_error **err)
{
    struct ib_signature signature = {0};

    int r = ib_signature_open_clear("CHECKSUM", document->data, document->size, KEY, fingerprint,
                                    NULL, text, &signature, err);
    if (r == 0) {
        cr_assert_str_eq(signature.fingerprint, FINGERPRINT);
        cr_assert_eq(signature.made_s, 1777044858);
    }
    return r;
}

Test(signature, fedora_44_verifies_and_lists_its_images)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, text = {0};
    struct ib_checksums list = {0};
    struct ib_error *err = NULL;

    need_gpgv();
    load(CHECKSUM, &document);
    cr_assert_eq(open_clear(&document, FINGERPRINT, &text, &err), 0);
    cr_assert_null(strstr((const char *)text.data, "-----"));
    cr_assert_eq(ib_checksums_parse("CHECKSUM", text.data, text.size, &list, &err), 0);
    cr_assert_eq(list.count, 6);
    const struct ib_checksum *image = ib_checksums_find(&list, IMAGE);
    check_hash(image, IMAGE_SHA256);
    cr_assert_eq(image->size_bytes, 528154624);
    ib_checksums_clear(&list);
}

Test(signature, any_changed_byte_of_the_text_is_refused)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, text = {0};

    need_gpgv();
    load(CHECKSUM, &document);
    const char *all = (const char *)document.data;
    size_t begin = (size_t)(strstr(all, "\n\n") + 2 - all);
    size_t end = (size_t)(strstr(all, "\n-----BEGIN PGP SIGNATURE") - all);
    for (size_t i = begin; i < end; i += 149) {
        struct ib_error *err = NULL;
        document.data[i] ^= 1;
        cr_assert_eq(open_clear(&document, FINGERPRINT, &text, &err), -1, "byte %zu", i);
        cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
        cr_assert_str_eq(ib_error_line(err, 1), "the signature does not match the text");
        ib_error_free(err);
        document.data[i] ^= 1;
    }
    cr_assert_eq(text.size, 0);
}

Test(signature, changed_signature_is_refused)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, text = {0};
    struct ib_error *err = NULL;

    need_gpgv();
    load(CHECKSUM, &document);
    char *inside = strstr((char *)document.data, "\nYM0A1pguxQN9") + 5;
    *inside = *inside == 'p' ? 'q' : 'p';
    cr_assert_eq(open_clear(&document, FINGERPRINT, &text, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_free(err);
}

Test(signature, text_outside_the_signed_part_does_not_count)
{
    static const char evil[] =
        "SHA256 (evil.qcow2) = 0000000000000000000000000000000000000000000000000000000000000000\n";
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, signed_part = {0}, text = {0};

    need_gpgv();
    load(CHECKSUM, &signed_part);
    ib_buf_append_str(&document, evil);
    ib_buf_append(&document, signed_part.data, signed_part.size);
    ib_buf_append_str(&document, evil);
    if (open_clear(&document, FINGERPRINT, &text, NULL) == 0)
        cr_assert_null(strstr((const char *)text.data, "evil"));

    /* the same, dressed up as a second signed part in front */
    ib_buf_clear(&document);
    ib_buf_append_str(&document, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n");
    ib_buf_append_str(&document, evil);
    ib_buf_append(&document, signed_part.data, signed_part.size);
    ib_buf_clear(&text);
    if (open_clear(&document, FINGERPRINT, &text, NULL) == 0)
        cr_assert_null(strstr((const char *)text.data, "evil"));
}

Test(signature, other_key_is_refused)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, text = {0};
    struct ib_error *err = NULL;

    need_gpgv();
    load(CHECKSUM, &document);
    cr_assert_eq(open_clear(&document, "C6E7F081CF80E13146676E88829B606631645531", &text, &err),
                 -1);
    cr_assert_str_eq(ib_error_line(err, 1), "it is signed by the key " FINGERPRINT
                                            " instead of C6E7F081CF80E13146676E88829B606631645531");
    ib_error_free(err);
}

Test(signature, unsigned_text_is_refused)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0}, text = {0};
    struct ib_error *err = NULL;

    need_gpgv();
    need(KEY);
    ib_buf_append_str(&document, "SHA256 (a) = 00\n");
    cr_assert_eq(open_clear(&document, NULL, &text, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    cr_assert_str_eq(ib_error_line(err, 0), "cannot verify the signature of 'CHECKSUM'");
    cr_assert_str_eq(ib_error_line(err, 1), "there is no signature in it");
    ib_error_free(err);
}

Test(signature, spoilt_key_is_told)
{
    _cleanup_(ib_buf_clear) struct ib_buf key = {0}, packets = {0};
    struct ib_error *err = NULL;

    load(KEY, &key);
    cr_assert_eq(ib_armor_decode("key", key.data, key.size, &packets, &err), 0);
    cr_assert_eq(packets.data[0] & 0x80, 0x80, "an OpenPGP packet");
    cr_assert_eq(ib_armor_decode("key", key.data, key.size - 100, &packets, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "'key' is not a whole PGP key: its end is missing");
    ib_error_clear(&err);
    *strstr((char *)key.data, "\n\nmQ") = '\n';
    key.data[200] = '!';
    cr_assert_eq(ib_armor_decode("key", key.data, key.size, &packets, &err), -1);
    ib_error_clear(&err);
}

Test(checksums, k3s)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_checksums list = {0};

    load(K3S_SUMS, &text);
    cr_assert_eq(ib_checksums_parse("sums", text.data, text.size, &list, NULL), 0);
    check_hash(ib_checksums_find(&list, "k3s"),
               "835873f37245fc615f547a2fe2af9402a347875f13fa64a1f136de644955ea3f");
    check_hash(ib_checksums_find(&list, "k3s-airgap-images-amd64.tar.zst"),
               "9024613e2d468c51ba0e5ba21898604c41339354449fb3338cc6a7931189eb6a");
    cr_assert_null(ib_checksums_find(&list, "k3s-arm64"));
    ib_checksums_clear(&list);
}

/* No signature covers k3s' list; what a changed byte cannot do is to give the pinned sum. */
Test(checksums, changed_byte_in_k3s_sums_never_gives_the_pin)
{
    static const char pin[] = "835873f37245fc615f547a2fe2af9402a347875f13fa64a1f136de644955ea3f";
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_sha256 pinned;

    load(K3S_SUMS, &text);
    cr_assert(ib_sha256_parse(pin, &pinned));
    size_t begin = (size_t)(strstr((char *)text.data, pin) - (char *)text.data);
    for (size_t i = begin; i < text.size; i++) {
        struct ib_checksums list = {0};
        text.data[i] ^= 1;
        if (ib_checksums_parse("sums", text.data, text.size, &list, NULL) == 0) {
            const struct ib_checksum *item = ib_checksums_find(&list, "k3s");
            cr_assert(!item || !ib_sha256_equal(&item->sha256, &pinned), "byte %zu", i);
        }
        ib_checksums_clear(&list);
        text.data[i] ^= 1;
    }
}

Test(checksums, argocd_manifest_is_the_pinned_one)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_sha256 hash, pin;

    load(ARGOCD, &text);
    cr_assert(
        ib_sha256_parse("795a3a972224da6a7f9d32c3e946445f062b60fb46028476715affeb688236e3", &pin));
    ib_sha256(text.data, text.size, &hash);
    cr_assert(ib_sha256_equal(&hash, &pin));
    text.data[text.size / 2] ^= 1;
    ib_sha256(text.data, text.size, &hash);
    cr_assert_not(ib_sha256_equal(&hash, &pin));
}

#define HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX2 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae"

Test(checksums, forms_that_are_understood)
{
    static const char text[] =
        "# a comment: with 3 bytes\r\n"
        "\n"
        "# a (b) = c: 3 bytes\n"
        "SHA256 (a (b) = c) = " HEX "\r\n"
        "SHA512 (a (b) = c) = 00\n" HEX2 " *binary\n" HEX "  two words"; /* no newline at the end */
    struct ib_checksums list = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_checksums_parse("sums", text, sizeof(text) - 1, &list, &err), 0, "%s",
                 err ? ib_error_line(err, 0) : "");
    cr_assert_eq(list.count, 3);
    check_hash(ib_checksums_find(&list, "a (b) = c"), HEX);
    cr_assert_eq(ib_checksums_find(&list, "a (b) = c")->size_bytes, 3);
    check_hash(ib_checksums_find(&list, "binary"), HEX2);
    check_hash(ib_checksums_find(&list, "two words"), HEX);
    ib_checksums_clear(&list);
}

Test(checksums, anything_else_is_an_error_with_its_line)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"hello\n", "sums:1: expected 'SHA256 (NAME) = HEX' or 'HEX  NAME'"},
        {"\n<!DOCTYPE html>\n", "sums:2: expected 'SHA256 (NAME) = HEX' or 'HEX  NAME'"},
        {HEX " name\n", "sums:1: expected 'SHA256 (NAME) = HEX' or 'HEX  NAME'"},
        {"SHA256 (a) = 12\n", "sums:1: expected a SHA-256 sum of 64 hexadecimal digits"},
        {"SHA256 () = " HEX "\n", "sums:1: expected a file name of at most 255 bytes"},
        {HEX "  a\n" HEX2 "  a\n", "sums:2: 'a' is listed twice, with two sums"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        struct ib_checksums list = {0};
        struct ib_error *err = NULL;
        cr_assert_eq(ib_checksums_parse("sums", cases[i].text, strlen(cases[i].text), &list, &err),
                     -1);
        cr_assert_str_eq(ib_error_line(err, 0), cases[i].message);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        ib_error_free(err);
    }
}
