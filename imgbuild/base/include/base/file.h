/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and paths: reading and writing whole ranges, making and removing directories.
 *
 * Output under a final name goes through base/atomic.h instead.
 */
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

/* Whole-range I/O that retries short counts and EINTR; 0 or -1 with errno (ENODATA: early end). */
int ib_read_full(int fd, void *data, size_t size) _must_check_;
int ib_pread_full(int fd, void *data, size_t size, uint64_t offset) _must_check_;
int ib_write_full(int fd, const void *data, size_t size) _must_check_;
int ib_pwrite_full(int fd, const void *data, size_t size, uint64_t offset) _must_check_;

/* Reads a whole file of at most max_size_bytes (IB_E_INVALID when it is longer). */
int ib_read_file(const char *path, uint64_t max_size_bytes, struct ib_buf *ret,
                 struct ib_error **err) _must_check_;

/* Writes a file in a scratch directory: not atomic, not synced. Its mode is exact. */
int ib_write_file(const char *path, unsigned mode, const void *data, size_t size,
                  struct ib_error **err) _must_check_;

/* For _cleanup_: closes the directory where there is one. */
void ib_closedirp(DIR **dir);

/* Opens for reading, O_CLOEXEC; an fd, or -1 and an error. */
int ib_open_read(const char *path, struct ib_error **err) _must_check_;

/*
 * Copies size bytes from in_fd at in_offset to the current position of out_fd, in the kernel where
 * it can (reflink, copy_file_range), else through a buffer. 0, or -1 with errno.
 */
int ib_copy_range(int in_fd, uint64_t in_offset, int out_fd, uint64_t size) _must_check_;

/* Makes a directory and its parents (0777 less umask); an existing one is fine. */
int ib_mkdir_p(const char *path, struct ib_error **err) _must_check_;

/* Removes a file or a tree, never following symbolic links or crossing into other file systems. A
 * missing one is fine. */
int ib_remove_tree(const char *path, struct ib_error **err) _must_check_;

/* A fresh directory PARENT/PREFIX.XXXXXX, mode 0700; the caller frees the name and removes it. */
char *ib_make_temp_dir(const char *parent, const char *prefix, struct ib_error **err) _must_check_;
/* For _cleanup_: removes the tree and frees the name; complains to nobody. */
void ib_temp_dirp(char **path);

/* An unnamed temporary file in `dir` (O_TMPFILE or unlinked at once); an fd, or -1. */
int ib_temp_file(const char *dir, struct ib_error **err) _must_check_;

/* dir + "/" + name without a doubled slash; an absolute name stays itself. The caller frees. */
char *ib_path_join(const char *dir, const char *name);
/* The part behind the last slash; borrowed from path. */
const char *ib_path_base(const char *path);
/* The directory part ("." where there is none); the caller frees. */
char *ib_path_dir(const char *path);

/*
 * Puts an archive member's name into the form "a/b/c": no leading "./" or "/", no doubled or
 * trailing slashes. "" is the root itself. Returns NULL where a part is ".." or the name holds an
 * unusable byte count (> 4095): such a name would leave the tree. The caller frees.
 */
char *ib_path_normalize(const char *name);

bool ib_path_exists(const char *path);
/* The program's full path as found on PATH, or NULL. The caller frees. */
char *ib_find_program(const char *name);
