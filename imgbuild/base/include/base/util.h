/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small vocabulary every other file uses: scope clean-up, allocation that cannot fail,
 * arithmetic that cannot wrap.
 *
 * Memory policy: running out of memory ends the program with a message. Sizes that come from
 * outside (files, devices, the network) are checked against a stated bound by the caller before
 * anything is allocated, so that bad input never gets here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))

#define IB_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define IB_MIN(a, b) ((a) < (b) ? (a) : (b))
#define IB_MAX(a, b) ((a) > (b) ? (a) : (b))

#define IB_KIB UINT64_C(1024)
#define IB_MIB (UINT64_C(1024) * IB_KIB)
#define IB_GIB (UINT64_C(1024) * IB_MIB)

/* Takes the value out of a variable and leaves it empty: the success path of a _cleanup_ variable.
 */
#define ib_steal(ptr)                           \
    ({                                          \
        __auto_type ib_steal_p_ = (ptr);        \
        __auto_type ib_steal_v_ = *ib_steal_p_; \
        *ib_steal_p_ = NULL;                    \
        ib_steal_v_;                            \
    })

/* Takes a file descriptor out of a variable and leaves -1. */
static inline int ib_steal_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

/* Allocation. All of them end the program when memory runs out; free with free(). */
void *ib_malloc(size_t size);
void *ib_calloc(size_t count, size_t size);
void *ib_realloc(void *ptr, size_t size);
void *ib_reallocarray(void *ptr, size_t count, size_t size);
char *ib_strdup(const char *s);                  /* NULL stays NULL */
char *ib_strndup(const char *s, size_t max_len); /* NULL stays NULL */
void *ib_memdup(const void *data, size_t size);
char *ib_asprintf(const char *fmt, ...) _printf_(1, 2);

/* Clean-up handlers for _cleanup_(). */
void ib_freep(void *pointer_to_pointer);
void ib_closep(const int *fd); /* closes fd >= 0, keeps errno */

/* Checked arithmetic: true when the sum, product or rounding fits, and only then *ret is written.
 */
static inline bool ib_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}
static inline bool ib_mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}
/* Rounds up to a multiple of `align`, a power of two. The caller knows that it cannot wrap. */
static inline uint64_t ib_round_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline bool ib_streq(const char *a, const char *b)
{
    return a && b ? __builtin_strcmp(a, b) == 0 : a == b;
}
bool ib_startswith(const char *s, const char *prefix);
bool ib_endswith(const char *s, const char *suffix);

/* Whole-string decimal number without sign or blanks; false when it is not one or exceeds max. */
bool ib_parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* Levenshtein's nearest of `names` (count entries) to `word`, or NULL when none is close. Borrowed.
 */
const char *ib_nearest(const char *word, const char *const *names, size_t count);

/* Processors that this process may run on: how many threads of work make sense. At least 1. */
unsigned ib_cpu_count(void);

/* Milliseconds of the monotonic clock, for durations only. */
uint64_t ib_now_ms(void);

/* True when all bytes are zero. */
bool ib_is_zero(const void *data, size_t size);

/* "1.5 GiB": a size for people, in a static-free buffer of at least 16 bytes. Returns buf. */
char *ib_format_size(uint64_t size_bytes, char buf[static 16]);
