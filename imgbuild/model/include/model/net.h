/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 addresses, networks, ranges and MAC addresses as values, and their text forms.
 *
 * Addresses are uint32_t in host order: 10.10.10.1 is 0x0a0a0a01; 0 stands for "none".
 */
#pragma once

#include "base/util.h"

#define IB_IPV4_TEXT_SIZE 16    /* "255.255.255.255" and NUL */
#define IB_NETWORK_TEXT_SIZE 19 /* "255.255.255.255/32" and NUL */
#define IB_RANGE_TEXT_SIZE 32   /* two addresses, '-', and NUL */
#define IB_MAC_TEXT_SIZE 18     /* "02:00:00:00:00:10" and NUL */

struct ib_ipv4_network {
    uint32_t address; /* host bits are zero */
    uint32_t prefix;  /* 0 to 32; a network that is not there has address 0, prefix 0 */
};

struct ib_ipv4_range {
    uint32_t first, last; /* both belong to it; {0, 0}: none */
};

struct ib_ipv4_list {
    uint32_t *items;
    size_t count;
};

struct ib_mac {
    uint8_t bytes[6];
};

/* Strict dotted quad: four decimal numbers without leading zeros. */
bool ib_ipv4_parse(const char *text, uint32_t *ret) _must_check_;
char *ib_ipv4_format(uint32_t address, char buf[static IB_IPV4_TEXT_SIZE]);

/* "10.10.10.0/24". False also when host bits are set. */
bool ib_network_parse(const char *text, struct ib_ipv4_network *ret) _must_check_;
char *ib_network_format(const struct ib_ipv4_network *network,
                        char buf[static IB_NETWORK_TEXT_SIZE]);
uint32_t ib_network_mask(const struct ib_ipv4_network *network);
uint32_t ib_network_broadcast(const struct ib_ipv4_network *network);
bool ib_network_contains(const struct ib_ipv4_network *network, uint32_t address);

/* "10.10.10.40-10.10.10.69"; first must not exceed last. */
bool ib_range_parse(const char *text, struct ib_ipv4_range *ret) _must_check_;
char *ib_range_format(const struct ib_ipv4_range *range, char buf[static IB_RANGE_TEXT_SIZE]);
bool ib_range_contains(const struct ib_ipv4_range *range, uint32_t address);

/* Six hexadecimal pairs with ':' or '-' between them; written with ':' in lower case. */
bool ib_mac_parse(const char *text, struct ib_mac *ret) _must_check_;
char *ib_mac_format(const struct ib_mac *mac, char buf[static IB_MAC_TEXT_SIZE]);
bool ib_mac_equal(const struct ib_mac *a, const struct ib_mac *b);
bool ib_mac_is_unicast(const struct ib_mac *mac); /* neither multicast nor all zeros */
