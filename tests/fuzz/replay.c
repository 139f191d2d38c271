/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds every file of the directories named on the command line to a fuzzer's entry point. */
#include <dirent.h>
#include <stdio.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *dir)
{
    struct dirent **names;
    int count = scandir(dir, &names, NULL, alphasort), replayed = 0;

    for (int i = 0; i < count; i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(dir, names[i]->d_name);
        _cleanup_(ib_buf_clear) struct ib_buf data = {0};
        if (names[i]->d_type == DT_REG && ib_read_file(path, IB_GIB, &data, NULL) == 0) {
            printf("%s\n", path);
            LLVMFuzzerTestOneInput(data.data, data.size);
            replayed++;
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return replayed;
}

int main(int argc, char **argv)
{
    int replayed = 0;

    for (int i = 1; i < argc; i++)
        replayed += replay(argv[i]);
    return replayed > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
