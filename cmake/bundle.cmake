# SPDX-License-Identifier: Apache-2.0
# cmake -DPROGRAM=… -DDIR=… -DSTRIP=… -P bundle.cmake: a fresh DIR with a program, stripped, and
# every library it is linked with, each under the name it is looked for; the loader as "ld.so".
cmake_minimum_required(VERSION 3.25)
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${PROGRAM}
    RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing)
if(missing)
    message(FATAL_ERROR "${PROGRAM} needs libraries that are not there: ${missing}")
endif()
file(REMOVE_RECURSE ${DIR})
file(MAKE_DIRECTORY ${DIR})
cmake_path(GET PROGRAM FILENAME name)
configure_file(${PROGRAM} ${DIR}/${name} COPYONLY USE_SOURCE_PERMISSIONS)
execute_process(COMMAND ${STRIP} ${DIR}/${name} COMMAND_ERROR_IS_FATAL ANY)
set(loader "")
foreach(library ${libraries})
    cmake_path(GET library FILENAME name)
    if(name MATCHES "^ld-linux")
        set(name ld.so)
        set(loader ${library})
    endif()
    configure_file(${library} ${DIR}/${name} COPYONLY) # follows the link
endforeach()
if(NOT loader)
    message(FATAL_ERROR "${PROGRAM}: no loader among ${libraries}")
endif()
file(CHMOD ${DIR}/ld.so PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
