/* SPDX-License-Identifier: Apache-2.0 */
/* Images by name. Apart from flash_image.c, so that a program with a source at hand (the installer)
 * needs no HTTP client. */
#include "flash_internal.h"

struct ib_flash_image *ib_flash_image_open(const char *spec,
                                           const struct ib_source_options *options,
                                           struct ib_error **err)
{
    struct ib_source *source = ib_source_open(spec, options, err);

    return source ? ib_flash_image_open_source(source, err) : NULL;
}
