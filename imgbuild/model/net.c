/* SPDX-License-Identifier: Apache-2.0 */
#include "model/net.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

/* One number of a dotted quad; *text moves behind it. */
static bool parse_octet(const char **text, uint32_t *ret)
{
    const char *s = *text;
    uint32_t v = 0;
    size_t n = 0;

    for (; s[n] >= '0' && s[n] <= '9' && n < 4; n++)
        v = v * 10 + (uint32_t)(s[n] - '0');
    if (n == 0 || n > 3 || v > 255 || (n > 1 && s[0] == '0'))
        return false;
    *text = s + n;
    *ret = v;
    return true;
}

/* An address at the head of *text, which moves behind it. */
static bool take_ipv4(const char **text, uint32_t *ret)
{
    uint32_t address = 0, octet;

    for (int i = 0; i < 4; i++) {
        if (i > 0 && *(*text)++ != '.')
            return false;
        if (!parse_octet(text, &octet))
            return false;
        address = address << 8 | octet;
    }
    *ret = address;
    return true;
}

bool ib_ipv4_parse(const char *text, uint32_t *ret)
{
    uint32_t address;

    if (!take_ipv4(&text, &address) || *text)
        return false;
    *ret = address;
    return true;
}

char *ib_ipv4_format(uint32_t address, char buf[static IB_IPV4_TEXT_SIZE])
{
    snprintf(buf, IB_IPV4_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
             (address >> 8) & 255, address & 255);
    return buf;
}

bool ib_network_parse(const char *text, struct ib_ipv4_network *ret)
{
    struct ib_ipv4_network network;
    uint64_t prefix;

    if (!take_ipv4(&text, &network.address) || *text != '/' ||
        !ib_parse_u64(text + 1, 32, &prefix) || strlen(text + 1) > 2)
        return false;
    network.prefix = (uint32_t)prefix;
    if (network.address & ~ib_network_mask(&network))
        return false;
    *ret = network;
    return true;
}

char *ib_network_format(const struct ib_ipv4_network *network,
                        char buf[static IB_NETWORK_TEXT_SIZE])
{
    char address[IB_IPV4_TEXT_SIZE];

    snprintf(buf, IB_NETWORK_TEXT_SIZE, "%s/%u", ib_ipv4_format(network->address, address),
             network->prefix & 63);
    return buf;
}

uint32_t ib_network_mask(const struct ib_ipv4_network *network)
{
    return network->prefix == 0 ? 0 : UINT32_MAX << (32 - network->prefix);
}

uint32_t ib_network_broadcast(const struct ib_ipv4_network *network)
{
    return network->address | ~ib_network_mask(network);
}

bool ib_network_contains(const struct ib_ipv4_network *network, uint32_t address)
{
    return (address & ib_network_mask(network)) == network->address;
}

bool ib_range_parse(const char *text, struct ib_ipv4_range *ret)
{
    struct ib_ipv4_range range;

    if (!take_ipv4(&text, &range.first) || *text++ != '-' || !take_ipv4(&text, &range.last) ||
        *text || range.first > range.last)
        return false;
    *ret = range;
    return true;
}

char *ib_range_format(const struct ib_ipv4_range *range, char buf[static IB_RANGE_TEXT_SIZE])
{
    char first[IB_IPV4_TEXT_SIZE], last[IB_IPV4_TEXT_SIZE];

    snprintf(buf, IB_RANGE_TEXT_SIZE, "%s-%s", ib_ipv4_format(range->first, first),
             ib_ipv4_format(range->last, last));
    return buf;
}

bool ib_range_contains(const struct ib_ipv4_range *range, uint32_t address)
{
    return range->last != 0 && address >= range->first && address <= range->last;
}

bool ib_mac_parse(const char *text, struct ib_mac *ret)
{
    struct ib_mac mac;

    if (strlen(text) != IB_MAC_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < 6; i++) {
        char pair[3] = {text[3 * i], text[3 * i + 1], 0};
        if (!ib_unhex(pair, &mac.bytes[i], 1))
            return false;
        if (i < 5 && (text[3 * i + 2] != text[2] || (text[2] != ':' && text[2] != '-')))
            return false;
    }
    *ret = mac;
    return true;
}

char *ib_mac_format(const struct ib_mac *mac, char buf[static IB_MAC_TEXT_SIZE])
{
    const uint8_t *b = mac->bytes;

    snprintf(buf, IB_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
             b[5]);
    return buf;
}

bool ib_mac_equal(const struct ib_mac *a, const struct ib_mac *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool ib_mac_is_unicast(const struct ib_mac *mac)
{
    static const struct ib_mac none;

    return !(mac->bytes[0] & 1) && !ib_mac_equal(mac, &none);
}
