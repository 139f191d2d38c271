/* SPDX-License-Identifier: Apache-2.0 */
/* The background thread: which request runs when. */
#include "source_http.h"

static struct ib_http_transfer *idle_transfer(struct ib_http_source *http)
{
    for (unsigned i = 0; i < http->connections; i++)
        if (!http->transfers[i].running)
            return &http->transfers[i];
    return NULL;
}

/* The first piece whose turn it is; NULL: none now. */
static struct ib_http_piece *due_piece(const struct ib_http_source *http, uint64_t now)
{
    for (struct ib_http_piece *p = http->pieces; p; p = p->next)
        if (p->state == PIECE_WAITING && !p->dropped && p->due_ms <= now)
            return p;
    return NULL;
}

static void add_pieces(struct ib_http_source *http)
{
    uint64_t offset;
    size_t size;

    while (http->opened && http->held < http->ahead_bytes &&
           ib_http_next_gap(http, &offset, &size) &&
           (http->held + size <= http->ahead_bytes || !http->pieces))
        ib_http_add_piece(http, offset, size);
}

static void schedule_ranges(struct ib_http_source *http, uint64_t now)
{
    struct ib_http_transfer *transfer;
    struct ib_http_piece *piece;

    for (unsigned i = 0; i < http->connections; i++) {
        transfer = &http->transfers[i];
        if (transfer->running && transfer->piece && transfer->piece->dropped) {
            transfer->piece->state = PIECE_DONE;
            ib_http_stop_transfer(transfer);
        }
    }
    ib_http_free_unwanted(http);
    add_pieces(http);
    while ((transfer = idle_transfer(http)) && (piece = due_piece(http, now))) {
        piece->state = PIECE_RUNNING;
        ib_http_start_transfer(transfer, piece);
    }
}

static void schedule_stream(struct ib_http_source *http, uint64_t now)
{
    ib_http_free_unwanted(http);
    for (unsigned i = 0; i < http->connections; i++)
        if (http->transfers[i].running)
            return;
    if (!http->stream_ended && http->stream_due_ms <= now)
        ib_http_start_transfer(&http->transfers[0], NULL);
}

/* False: it is time to end. */
static bool schedule(struct ib_http_source *http)
{
    const uint64_t now = ib_now_ms();

    pthread_mutex_lock(&http->lock);
    const bool go_on = !http->stop && !http->failure;
    if (go_on && http->stream)
        schedule_stream(http, now);
    else if (go_on)
        schedule_ranges(http, now);
    pthread_mutex_unlock(&http->lock);
    return go_on;
}

/* Bytes that there was no room for are offered again; where there still is none, it stays paused.
 */
static void resume_paused(struct ib_http_source *http)
{
    for (unsigned i = 0; i < http->connections; i++) {
        struct ib_http_transfer *transfer = &http->transfers[i];
        if (!transfer->running || !transfer->paused)
            continue;
        transfer->paused = false;
        curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    }
}

static void handle_messages(struct ib_http_source *http)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(http->multi, &left))) {
        struct ib_http_transfer *transfer = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        const CURLcode result = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        ib_http_handle_end(transfer, result);
    }
}

void *ib_http_run(void *userdata)
{
    struct ib_http_source *http = userdata;
    int running;

    while (schedule(http)) {
        resume_paused(http);
        if (curl_multi_perform(http->multi, &running) != CURLM_OK)
            abort(); /* memory */
        handle_messages(http);
        if (curl_multi_poll(http->multi, NULL, 0, IB_FETCH_POLL_MS, NULL) != CURLM_OK)
            abort();
    }
    for (unsigned i = 0; i < http->connections; i++)
        ib_http_stop_transfer(&http->transfers[i]);
    return NULL;
}
