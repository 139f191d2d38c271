/* SPDX-License-Identifier: Apache-2.0 */
#include "image/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"

#define HASHES_PER_BLOCK (IB_VERITY_BLOCK_SIZE / IB_SHA256_SIZE)

static void crypt_freep(struct crypt_device **cd)
{
    crypt_free(*cd);
}

/* Keeps libcryptsetup's last error line: it knows more than its return code. */
static void keep_message(int level, const char *text, void *userdata)
{
    struct ib_buf *message = userdata;
    size_t size = strlen(text);

    if (level != CRYPT_LOG_ERROR)
        return;
    while (size && (text[size - 1] == '\n' || text[size - 1] == '.'))
        size--;
    ib_buf_clear(message);
    ib_buf_append(message, text, size);
}

/* result: a negative errno; 0 where it would say less than the library's own words. */
static int fail(struct ib_error **err, enum ib_error_code code, int result, const char *path,
                const struct ib_buf *message, const char *what)
{
    if (!message->size || result)
        return ib_fail(err, code, -result, path, what);
    ib_failf(err, code, "%s", (const char *)message->data);
    return ib_wrap(err, path, what);
}

static int check_data_size(const char *data_path, uint64_t *ret_size, struct ib_error **err)
{
    struct stat st;

    if (stat(data_path, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, data_path, "read");
    if (st.st_size <= 0 || st.st_size % IB_VERITY_BLOCK_SIZE)
        return ib_failf(err, IB_E_INVALID,
                        "the size of '%s', %lld bytes, is not a multiple of 4096", data_path,
                        (long long)st.st_size);
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

/* An empty file of the final size, so that a full disk is noticed here and by its name. */
static int make_hash_file(const char *path, uint64_t size, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    int errnum = posix_fallocate(fd, 0, (off_t)size);
    if (errnum)
        return ib_fail(err, IB_E_IO, errnum, path, "write");
    return 0;
}

static int open_device(struct crypt_device **ret, const char *hash_path, struct ib_buf *message,
                       struct ib_error **err)
{
    int result = crypt_init(ret, hash_path);

    if (result < 0)
        return fail(err, IB_E_IO, result, hash_path, message, "open the hash file");
    crypt_set_log_callback(*ret, keep_message, message);
    return 0;
}

int ib_verity_format(const char *data_path, const char *hash_path,
                     const struct ib_verity_params *params, struct ib_sha256 *ret_root_hash,
                     struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf message = {0};
    _cleanup_(crypt_freep) struct crypt_device *cd = NULL;
    size_t root_size = IB_SHA256_SIZE;
    char uuid[IB_UUID_TEXT_SIZE];
    uint64_t size = 0;
    int result;

    if (check_data_size(data_path, &size, err) < 0 ||
        make_hash_file(hash_path, ib_verity_hash_size(size), err) < 0 ||
        open_device(&cd, hash_path, &message, err) < 0)
        return -1;
    struct crypt_params_verity verity = {
        .hash_name = "sha256",
        .data_device = data_path,
        .salt = (const char *)params->salt.bytes,
        .salt_size = IB_SHA256_SIZE,
        .hash_type = 1,
        .data_block_size = IB_VERITY_BLOCK_SIZE,
        .hash_block_size = IB_VERITY_BLOCK_SIZE,
        .data_size = size / IB_VERITY_BLOCK_SIZE,
        .flags = CRYPT_VERITY_CREATE_HASH,
    };
    result = crypt_format(cd, CRYPT_VERITY, NULL, NULL, ib_uuid_format(&params->uuid, uuid), NULL,
                          0, &verity);
    if (result < 0)
        return fail(err, IB_E_IO, result, data_path, &message, "make the hash tree of");
    result =
        crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)ret_root_hash->bytes, &root_size, NULL, 0);
    if (result < 0 || root_size != IB_SHA256_SIZE)
        return fail(err, IB_E_INTERNAL, result, data_path, &message, "get the root hash of");
    return 0;
}

int ib_verity_check(const char *data_path, const char *hash_path, const struct ib_sha256 *root_hash,
                    struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf message = {0};
    _cleanup_(crypt_freep) struct crypt_device *cd = NULL;
    struct crypt_params_verity params = {.flags = CRYPT_VERITY_CHECK_HASH};
    uint64_t size;
    int result;

    if (check_data_size(data_path, &size, err) < 0 ||
        open_device(&cd, hash_path, &message, err) < 0)
        return -1;
    result = crypt_load(cd, CRYPT_VERITY, &params);
    if (result < 0)
        return fail(err, IB_E_INVALID, 0, hash_path, &message, "find a verity hash tree in");
    result = crypt_set_data_device(cd, data_path);
    if (result < 0)
        return fail(err, IB_E_IO, result, data_path, &message, "open the data file");
    /* without a name nothing is activated: the check is all */
    result = crypt_activate_by_volume_key(cd, NULL, (const char *)root_hash->bytes, IB_SHA256_SIZE,
                                          CRYPT_ACTIVATE_READONLY);
    if (result < 0)
        return fail(err, IB_E_VERIFY, 0, data_path, &message, "verify");
    return 0;
}

uint64_t ib_verity_hash_size(uint64_t data_size_bytes)
{
    uint64_t blocks = data_size_bytes / IB_VERITY_BLOCK_SIZE;
    uint64_t total = 1; /* the super block */

    while (blocks > 1) {
        blocks = (blocks + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK;
        total += blocks;
    }
    return total * IB_VERITY_BLOCK_SIZE;
}

void ib_verity_partition_uuids(const struct ib_sha256 *root_hash, struct ib_uuid *ret_root,
                               struct ib_uuid *ret_verity)
{
    memcpy(ret_root->bytes, root_hash->bytes, IB_UUID_SIZE);
    memcpy(ret_verity->bytes, root_hash->bytes + IB_SHA256_SIZE - IB_UUID_SIZE, IB_UUID_SIZE);
}
