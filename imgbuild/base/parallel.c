/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"

#include <pthread.h>

struct crew {
    ib_parallel_fn work;
    void *userdata;
    pthread_mutex_t lock; /* of `failed` and `error` */
    bool failed;
    struct ib_error *error;
};

static void *run_one(void *userdata)
{
    struct crew *crew = userdata;
    struct ib_error *error = NULL;

    if (crew->work(crew->userdata, &error) < 0) {
        pthread_mutex_lock(&crew->lock);
        if (!crew->failed)
            crew->error = ib_steal(&error);
        crew->failed = true;
        pthread_mutex_unlock(&crew->lock);
    }
    ib_error_free(error);
    return NULL;
}

int ib_parallel_run(unsigned threads, ib_parallel_fn work, void *userdata, struct ib_error **err)
{
    struct crew crew = {.work = work, .userdata = userdata, .lock = PTHREAD_MUTEX_INITIALIZER};
    _cleanup_(ib_freep) pthread_t *ids = ib_calloc(IB_MAX(threads, 1U), sizeof(*ids));
    unsigned started = 0;

    while (started + 1 < threads && pthread_create(&ids[started], NULL, run_one, &crew) == 0)
        started++;
    run_one(&crew);
    while (started > 0)
        pthread_join(ids[--started], NULL);
    pthread_mutex_destroy(&crew.lock);
    if (!crew.failed)
        return 0;
    if (err)
        *err = crew.error;
    else
        ib_error_free(crew.error);
    return -1;
}
