/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file on an HTTP server. One background thread (source_http_run.c) makes all transfers; the
 * reading thread takes bytes out of *pieces*, consecutive parts of the file that are being fetched
 * or wait to be read (source_http_pieces.c). Pieces are in order, and what they hold together is
 * bounded.
 *
 *  - ranges: each piece is one Range request (and more after failures), several at a time;
 *  - stream: the server ignores Range, or does not say which version its bytes are of, so that
 * parts must not be put together. One request for the whole file fills piece after piece.
 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>

#include "fetch_internal.h"
#include "http_answer.h"
#include "source_internal.h"

enum { IB_HTTP_CONNECTIONS_MAX = 16 };

struct ib_http_source;

struct ib_http_piece {
    struct ib_http_piece *next;
    uint64_t offset;
    size_t size, filled; /* `filled` only grows */
    size_t capacity;     /* of data; size can shrink */
    enum { PIECE_WAITING, PIECE_RUNNING, PIECE_DONE } state;
    bool dropped; /* nobody wants it any more */
    unsigned attempt;
    uint64_t due_ms; /* WAITING: not before */
    uint8_t *data;
};

struct ib_http_spare {
    struct ib_http_spare *next;
};

/* One request. Only the background thread touches it. */
struct ib_http_transfer {
    struct ib_http_source *http;
    CURL *easy;
    struct ib_http_piece *piece; /* NULL: idle, or a stream */
    bool running, paused, begun;
    bool restream;      /* no parts from this server: ask again, for the whole file */
    uint64_t asked;     /* from here */
    uint64_t offset;    /* of the next byte to come */
    uint64_t end;       /* of this answer; UINT64_MAX: not known */
    size_t header_size; /* so far */
    char message[CURL_ERROR_SIZE];
    enum ib_http_verdict verdict; /* of a refusal */
    char *refusal;                /* why we ended it */
};

struct ib_http_source {
    struct ib_source base;
    char *url;
    const char *ca_file;
    struct ib_fetch_options fetch; /* what our transfers share with downloads */
    unsigned connections;
    uint64_t ahead_bytes;
    size_t piece_bytes;
    pthread_t thread;
    bool thread_started;
    CURLM *multi;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stop;
    bool opened; /* the first answer was good */
    bool stream;
    struct ib_error *failure;
    struct ib_http_piece *pieces;
    uint64_t position;            /* nothing before it is wanted any more */
    uint64_t held;                /* bytes of all pieces' buffers */
    struct ib_http_spare *spares; /* buffers of piece_bytes, to be used again */
    size_t spare_count;
    uint64_t streamed; /* a stream's bytes so far */
    bool stream_ended;
    struct ib_source_range *plan; /* NULL: all, with a window that grows */
    size_t plan_count, plan_at;   /* plan_at: the first that ends behind position */

    /* Only the background thread's. */
    struct ib_http_version version;
    char *place; /* where redirects led: all answers from one mirror */
    struct curl_slist *headers, *first_headers;
    struct ib_http_transfer transfers[IB_HTTP_CONNECTIONS_MAX];
    unsigned stream_attempt;
    uint64_t stream_due_ms, stream_mark;
};

/* Pieces; all with the lock held. */
struct ib_http_piece *ib_http_find_piece(struct ib_http_source *http, uint64_t offset);
/* A new piece at its place in the list. */
struct ib_http_piece *ib_http_add_piece(struct ib_http_source *http, uint64_t offset, size_t size);
/* What to ask for next: the first wanted bytes that no piece covers. False: nothing now. */
bool ib_http_next_gap(struct ib_http_source *http, uint64_t *ret_offset, size_t *ret_size);
/* The piece that a reader at `offset`, where there is none, waits for. */
void ib_http_demand(struct ib_http_source *http, uint64_t offset, size_t size);
void ib_http_set_plan(struct ib_http_source *http, const struct ib_source_range *ranges,
                      size_t count);
/* Frees pieces that nobody wants and no transfer fills. */
void ib_http_free_unwanted(struct ib_http_source *http);
void ib_http_free_pieces(struct ib_http_source *http);

/* Transfers; the background thread's. Starting one takes no lock: the piece is marked RUNNING with
 * the lock held, before. */
void ib_http_start_transfer(struct ib_http_transfer *transfer, struct ib_http_piece *piece);
void ib_http_stop_transfer(struct ib_http_transfer *transfer);
/* It has ended by itself. Takes the lock. */
void ib_http_handle_end(struct ib_http_transfer *transfer, CURLcode result);
void *ib_http_run(void *http); /* the thread */
