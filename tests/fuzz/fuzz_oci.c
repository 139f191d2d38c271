/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON documents of container images, each read as every kind. */
#include "os/oci_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_oci_index_clear) struct ib_oci_index index = {0};
    _cleanup_(ib_oci_manifest_clear) struct ib_oci_manifest manifest = {0};
    _cleanup_(ib_oci_config_clear) struct ib_oci_config config = {0};
    _cleanup_(ib_docker_image_clear) struct ib_docker_image image = {0};
    int read = 0;

    read += ib_oci_parse_layout("fuzz", data, size, NULL) == 0;
    read += ib_docker_parse_manifest("fuzz", data, size, &image, NULL) == 0;
    read += ib_oci_parse_config("fuzz", data, size, &config, NULL) == 0;
    int an_index = ib_oci_parse_index("fuzz", data, size, &index, NULL) == 0;
    int a_manifest = ib_oci_parse_manifest("fuzz", data, size, &manifest, NULL) == 0;
    if (an_index && a_manifest)
        abort(); /* one document must not be both */
    for (size_t i = 0; an_index && i < index.count; i++)
        read += (int)ib_oci_kind(&index.manifests[i]);
    return read < 0;
}
