# SPDX-License-Identifier: Apache-2.0
# Warnings and hardening, on one INTERFACE target that every target of ours links: ib_flags, or
# ib_flags_plain for what can never have sanitizers (static programs).
add_library(ib_flags_plain INTERFACE)
add_library(ib_flags INTERFACE)
target_link_libraries(ib_flags INTERFACE ib_flags_plain)
target_compile_definitions(ib_flags_plain INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(ib_flags_plain INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wformat=2 -Wvla -Wimplicit-fallthrough
    -Wno-format-nonliteral
    -fno-common -fstack-protector-strong -fstack-clash-protection -fcf-protection
    -fno-strict-aliasing)
target_link_options(ib_flags_plain INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(IB_WERROR)
    target_compile_options(ib_flags_plain INTERFACE -Werror)
endif()
if(IB_SANITIZE)
    target_compile_options(ib_flags INTERFACE
        -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
    target_link_options(ib_flags INTERFACE -fsanitize=address,undefined)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(ib_flags_plain INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(IB_FUZZ)
    target_compile_options(ib_flags INTERFACE -fsanitize=fuzzer-no-link) # coverage, for libFuzzer
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
