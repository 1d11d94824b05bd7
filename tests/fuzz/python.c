/* A Python interpreter in the fuzzer's process, whose procshare has the core that was compiled with coverage and ASan. */
#include <Python.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "python.h"

PyObject *PyInit__native(void);

void failed(const char *what) {
    fprintf(stderr, "%s\n", what);
    if (PyErr_Occurred()) PyErr_Print();
    fflush(NULL);
    abort();
}

/* `import procshare._native` finds it, as built in. */
static void add_core(void) {
    PyModuleDef *definition = (PyModuleDef *)PyInit__native();
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *spec = machinery ? PyObject_CallMethod(machinery, "ModuleSpec", "sO", "procshare._native", Py_None) : NULL;
    PyObject *core = spec ? PyModule_FromDefAndSpec(definition, spec) : NULL;
    if (core == NULL || PyModule_ExecDef(core, definition) < 0) failed("the core cannot be started");
    if (PyObject_SetAttrString(core, "__spec__", spec) < 0) failed("the core has no spec");
    if (PyDict_SetItemString(PyImport_GetModuleDict(), "procshare._native", core) < 0) failed("no sys.modules");
}

void start_python(const char *module) {
    const char *program = getenv("FUZZ_PYTHON"), *home = getenv("FUZZ_HOME");
    if (program == NULL || home == NULL) failed("FUZZ_PYTHON and FUZZ_HOME are not set; .ci/fuzz sets them");
    signal(SIGXFSZ, SIG_IGN); /* as Python does where it may install handlers */
    signal(SIGPIPE, SIG_IGN);
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyConfig_SetBytesString(&config, &config.program_name, program);
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) failed(status.err_msg);
    add_core();
    PyObject *path = PyUnicode_FromString(home);
    if (PyList_Insert(PySys_GetObject("path"), 0, path) < 0 || PyImport_ImportModule(module) == NULL) failed("the harness's module");
    Py_DECREF(path);
}
