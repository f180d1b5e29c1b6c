/* Put before a program with LD_PRELOAD: no more than SHIM_THREADS threads live beside the first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_int alive;

struct call {
    void *(*start)(void *);
    void *argument;
};

static void *run(void *given)
{
    struct call call = *(struct call *)given;
    free(given);
    void *result = call.start(call.argument);
    atomic_fetch_sub(&alive, 1);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*start)(void *), void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    const char *most = getenv("SHIM_THREADS");
    if (!next)
        next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
            dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_fetch_add(&alive, 1) >= (most ? atoi(most) : 1 << 30)) {
        atomic_fetch_sub(&alive, 1);
        return EAGAIN;
    }
    struct call *call = malloc(sizeof *call);
    call->start = start;
    call->argument = argument;
    return next(thread, attributes, run, call);
}
