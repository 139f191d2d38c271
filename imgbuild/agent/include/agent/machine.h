/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a machine itself and is made on its first boot: the machine id and the SSH host keys.
 * Both are kept below /var/lib/imgbuild/persist and put into /etc at each boot.
 */
#pragma once

#include "base/error.h"

/* 32 lower-case hexadecimal digits, not all zero, with an optional newline (machine-id(5)). */
bool ib_machine_id_valid(const char *text);

/*
 * Puts the kept machine id into ROOT/etc/machine-id. Where none is kept, `initrd_file`'s is taken,
 * which PID 1 made before us, so that this boot's journal already carries it; else a random one.
 */
int ib_machine_id_restore(const char *root, const char *initrd_file,
                          struct ib_error **err) _must_check_;

/*
 * Puts the kept Ed25519 host key into ROOT/etc/ssh; makes it first where none is kept, with the
 * root's own ssh-keygen. A root without OpenSSH is fine: *ret_made stays false.
 */
int ib_host_key_restore(const char *root, bool *ret_made, struct ib_error **err) _must_check_;
