/* SPDX-License-Identifier: Apache-2.0 */
#include "io/history.h"

#include <dirent.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"

enum { MAX_INPUTS_SIZE = 64 << 20 };

void ib_history_clear(struct ib_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        free(history->inputs[i].name);
        free(history->inputs[i].value);
    }
    free(history->inputs);
    *history = (struct ib_history){0};
}

const struct ib_history_input *ib_history_get(const struct ib_history *history, const char *name)
{
    for (size_t i = 0; i < history->count; i++)
        if (ib_streq(history->inputs[i].name, name))
            return &history->inputs[i];
    return NULL;
}

/* inputs.json as io/cache.c writes it: {"stage": …, "key": …, "inputs": [{"name", "value"}, …]} */
static bool read_inputs(const char *path, struct ib_history *ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, MAX_INPUTS_SIZE, &text, NULL) < 0 || !text.size)
        return false;
    json_t *o = json_loadb((const char *)text.data, text.size, 0, NULL);
    json_t *inputs = json_object_get(o, "inputs"), *input;
    size_t index;

    ret->inputs = ib_calloc(json_array_size(inputs), sizeof(*ret->inputs));
    json_array_foreach (inputs, index, input) {
        const char *name = json_string_value(json_object_get(input, "name"));
        if (!name)
            continue;
        ret->inputs[ret->count++] = (struct ib_history_input){
            ib_strdup(name),
            ib_strdup(json_string_value(json_object_get(input, "value"))),
        };
    }
    json_decref(o);
    return ret->count > 0;
}

/* Every stage adds "format" by itself and then its subject's name. */
static bool same_subject(const struct ib_history *history, const struct ib_key *key)
{
    if (ib_key_input_count(key) < 2)
        return true;
    const struct ib_history_input *input = ib_history_get(history, ib_key_input_name(key, 1));

    return input && ib_streq(input->value, ib_key_input_value(key, 1));
}

bool ib_history_find(const struct ib_cache *cache, const struct ib_key *key, struct ib_history *ret)
{
    _cleanup_(ib_freep) char *stage_dir =
        ib_asprintf("%s/stages/%s", ib_cache_dir(cache), ib_key_stage(key));
    _cleanup_(ib_closedirp) DIR *dir = opendir(stage_dir);
    struct timespec newest = {0};
    bool found = false;

    for (struct dirent *d; dir && (d = readdir(dir));) {
        _cleanup_(ib_freep) char *path = ib_asprintf("%s/%s/inputs.json", stage_dir, d->d_name);
        _cleanup_(ib_history_clear) struct ib_history candidate = {0};
        struct stat st;
        if (d->d_name[0] == '.' || stat(path, &st) < 0 ||
            (found &&
             (st.st_mtim.tv_sec < newest.tv_sec ||
              (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec <= newest.tv_nsec))) ||
            !read_inputs(path, &candidate) || !same_subject(&candidate, key))
            continue;
        ib_history_clear(ret);
        *ret = candidate;
        candidate = (struct ib_history){0};
        newest = st.st_mtim;
        found = true;
    }
    return found;
}
