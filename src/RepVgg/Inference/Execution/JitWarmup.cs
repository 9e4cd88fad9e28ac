using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>JIT warm-up: compiles kernels on one core while another core reads the first network of the process.</summary>
internal static class JitWarmup
{
    private static int _started;

    /// <summary>
    /// Executes a function and, on the first call in the process, runs the warm-up on another thread at the same time. There
    /// is no warm-up on a single core or if no worker thread is available.
    /// </summary>
    /// <param name="warmUp">Runs the kernels once, so that the JIT compiles them.</param>
    /// <param name="function">The function, which reads a network.</param>
    /// <returns>The result of <paramref name="function"/>.</returns>
    public static T RunDuring<T>(Action warmUp, Func<T> function)
        where T : class
    {
        if (Environment.ProcessorCount == 1 || Interlocked.Exchange(ref _started, 1) != 0)
            return function();
        T? result = null;
        var loop = new ParallelLoop(2);
        loop.Run(2, (item, _) =>
        {
            if (item == 0)
                result = function();
            else if (loop.Workers > 1)
                warmUp();
        });
        return result!;
    }
}
