/* What the harnesses share: a Python with the core under test in it. */
#ifndef FUZZ_PYTHON_H
#define FUZZ_PYTHON_H

#include <stddef.h>
#include <stdint.h>

/* Start the interpreter that $FUZZ_PYTHON names, make the core that is linked in `procshare._native`, and import *module* from
 * the folder $FUZZ_HOME. Ends the process if that fails. */
void start_python(const char *module);

/* Print the current Python exception, and end the process so that the input is kept. */
void failed(const char *what);

#endif
