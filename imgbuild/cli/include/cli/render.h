/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress events made visible: live bars on a terminal, plain lines in a log, JSON lines with
 * --json; always on stderr.
 */
#pragma once

#include "base/progress.h"

struct ib_render;

enum ib_render_mode { IB_RENDER_QUIET, IB_RENDER_LINES, IB_RENDER_TERMINAL, IB_RENDER_JSON };

struct ib_render *ib_render_new(enum ib_render_mode mode, bool color);
/* Takes the live lines off the screen. Returns NULL. */
struct ib_render *ib_render_free(struct ib_render *render);
void ib_render_freep(struct ib_render **render);
/* An ib_event_fn; userdata is the struct ib_render. */
void ib_render_event(const struct ib_event *event, void *userdata);
