using System.Runtime.InteropServices;

namespace RepVgg.Tool.CommandLine;

/// <summary>Handles Ctrl-C (SIGINT) and SIGTERM while a command runs.</summary>
/// <remarks>
/// The first signal ends the process at once, except while <see cref="Defer{T}"/> runs: there it cancels <see cref="Token"/>, and
/// the command ends itself. The second signal always ends the process at once. The exit code is 128 + the number of the signal.
/// </remarks>
internal sealed class Interrupt : IDisposable
{
    private const int SigInt = 130, SigTerm = 143;

    private readonly Lock _access = new();
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private int _deferrals;

    public Interrupt()
    {
        _registrations = [Register(PosixSignal.SIGINT, SigInt), Register(PosixSignal.SIGTERM, SigTerm)];
    }

    /// <summary>Is cancelled by the first signal.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>The exit code for the first signal: 130 for Ctrl-C, 143 for SIGTERM; 0 if there was none.</summary>
    public int ExitCode { get; private set; }

    /// <summary>Runs work that the first signal does not end, because it must not stop at any point: it writes files, or keeps a result. It watches <see cref="Token"/> if it takes long.</summary>
    public T Defer<T>(Func<T> work)
    {
        lock (_access)
            _deferrals++;
        try
        {
            return work();
        }
        finally
        {
            lock (_access)
                _deferrals--;
        }
    }

    /// <summary>Runs work that the first signal does not end, as <see cref="Defer{T}"/>.</summary>
    public void Defer(Action work) => Defer(() =>
    {
        work();
        return 0;
    });

    /// <summary>Whether an error is the consequence of the signal. ML.NET wraps exceptions of its sources.</summary>
    public bool IsCauseOf(Exception error) =>
        Token.IsCancellationRequested && (error is OperationCanceledException || (error.InnerException is { } inner && IsCauseOf(inner)));

    public void Dispose()
    {
        foreach (var registration in _registrations)
            registration.Dispose();
        // The source is not disposed: a handler that has begun can still cancel it.
    }

    private PosixSignalRegistration Register(PosixSignal signal, int exitCode) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        // The lock is not released before the process ends, so that no deferred work begins.
        lock (_access)
        {
            if (ExitCode != 0 || _deferrals == 0)
                End(exitCode);
            ExitCode = exitCode;
        }
        _source.Cancel();
    });

    private static void End(int exitCode)
    {
        // The progress bar hides the cursor.
        if (!Console.IsOutputRedirected)
            Console.CursorVisible = true;
        if (OperatingSystem.IsWindows())
            Environment.Exit(exitCode);
        // Not the usual exit: it destroys the objects of native libraries, whose threads still compute.
        ExitNow(exitCode);
    }

    [DllImport("libc", EntryPoint = "_exit")]
    private static extern void ExitNow(int exitCode);
}
