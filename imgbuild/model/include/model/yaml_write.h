/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values written as YAML in block style, by libyaml's emitter: for configuration files that
 * people read on the node.
 */
#pragma once

#include "base/buffer.h"

struct json_t;

/* Appends one document; keys sorted. Strings that YAML would read as something else are quoted. */
void ib_yaml_write(const struct json_t *value, struct ib_buf *ret);
