using System.Text;

namespace RepVgg.TorchSharp;

/// <summary>Discards the console output of the current thread until it is disposed. The output of other threads is written to the console.</summary>
/// <remarks>TorchSharp prints a long text to the console before it throws an exception for a library that cannot be loaded. The exception contains the information.</remarks>
internal sealed class ConsoleOutputSuppressor : TextWriter
{
    private readonly TextWriter _console = Console.Out;
    private readonly int _thread = Environment.CurrentManagedThreadId;

    public ConsoleOutputSuppressor() => Console.SetOut(this);

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
