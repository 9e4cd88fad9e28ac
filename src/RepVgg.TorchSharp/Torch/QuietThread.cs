using System.Text;

namespace RepVgg.TorchSharp;

/// <summary>Keeps what the current thread writes to the console from it, until disposed; other threads write on.</summary>
/// <remarks>TorchSharp prints a page before it throws because a library cannot be loaded. The exception is enough.</remarks>
internal sealed class QuietThread : TextWriter
{
    private readonly TextWriter _console = Console.Out;
    private readonly int _thread = Environment.CurrentManagedThreadId;

    public QuietThread() => Console.SetOut(this);

    public override Encoding Encoding => _console.Encoding;

    public override void Write(char value)
    {
        if (Environment.CurrentManagedThreadId != _thread)
            _console.Write(value);
    }

    public override void Write(string? value)
    {
        if (Environment.CurrentManagedThreadId != _thread)
            _console.Write(value);
    }

    public override void WriteLine(string? value)
    {
        if (Environment.CurrentManagedThreadId != _thread)
            _console.WriteLine(value);
    }

    public override void Flush() => _console.Flush();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Console.SetOut(_console);
        base.Dispose(disposing);
    }
}
