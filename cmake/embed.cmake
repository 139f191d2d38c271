# SPDX-License-Identifier: Apache-2.0
# ib_embed(LAYER SYMBOL FILE): FILE's bytes as `const char SYMBOL[]`, closed by a NUL, in the layer.
# For scripts that run inside a tree: kept as files of their own, where editors and shellcheck see
# them, but always the ones that this program was built with.
function(ib_embed layer symbol file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    cmake_path(GET file FILENAME name)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c @ONLY CONTENT
"/* Generated from @name@. */
extern const char @symbol@[];
const char @symbol@[] = {
    @bytes@0x00};
")
    target_sources(ib_${layer} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
endfunction()
