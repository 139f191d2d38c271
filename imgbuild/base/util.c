/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *check_alloc(void *p)
{
    if (!p) {
        static const char msg[] = "imgbuild: out of memory\n";
        ssize_t n _unused_ = write(STDERR_FILENO, msg, sizeof(msg) - 1);
        abort();
    }
    return p;
}

void *ib_malloc(size_t size)
{
    return check_alloc(malloc(size ? size : 1));
}

void *ib_calloc(size_t count, size_t size)
{
    return check_alloc(calloc(count ? count : 1, size ? size : 1));
}

void *ib_realloc(void *ptr, size_t size)
{
    return check_alloc(realloc(ptr, size ? size : 1));
}

void *ib_reallocarray(void *ptr, size_t count, size_t size)
{
    return check_alloc(reallocarray(ptr, count ? count : 1, size ? size : 1));
}

char *ib_strdup(const char *s)
{
    return s ? check_alloc(strdup(s)) : NULL;
}

char *ib_strndup(const char *s, size_t max_len)
{
    return s ? check_alloc(strndup(s, max_len)) : NULL;
}

void *ib_memdup(const void *data, size_t size)
{
    void *p = ib_malloc(size);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *ib_asprintf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return check_alloc(s);
}

void ib_freep(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void ib_closep(const int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

bool ib_startswith(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ib_endswith(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool ib_parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (!s || !*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v) || v > max)
            return false;
    }
    *ret = v;
    return true;
}

static size_t edit_distance(const char *a, size_t alen, const char *b, size_t blen)
{
    size_t row[64];

    for (size_t j = 0; j <= blen; j++)
        row[j] = j;
    for (size_t i = 1; i <= alen; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= blen; j++) {
            size_t cost = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = IB_MIN(cost, IB_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[blen];
}

const char *ib_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t wlen = strlen(word), best_distance = SIZE_MAX;

    if (wlen >= 64)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t nlen = strlen(names[i]);
        if (nlen >= 64)
            continue;
        size_t d = edit_distance(word, wlen, names[i], nlen);
        if (d < best_distance && d <= 1 + IB_MAX(wlen, nlen) / 3) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

unsigned ib_cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0) /* more processors than a cpu_set_t holds */
        return (unsigned)IB_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    return (unsigned)IB_MAX(CPU_COUNT(&set), 1);
}

bool ib_is_zero(const void *data, size_t size)
{
    const uint8_t *p = data;

    /* the first bytes against zero, then each byte against the one 16 before it */
    for (size_t i = 0; i < IB_MIN(size, (size_t)16); i++)
        if (p[i])
            return false;
    return size <= 16 || memcmp(p, p + 16, size - 16) == 0;
}

uint64_t ib_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

char *ib_format_size(uint64_t size_bytes, char buf[static 16])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)size_bytes;
    size_t u = 0;

    while (v >= 1024 && u + 1 < IB_ARRAY_SIZE(units)) {
        v /= 1024;
        u++;
    }
    snprintf(buf, 16, u == 0 ? "%.0f %s" : v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
    return buf;
}
