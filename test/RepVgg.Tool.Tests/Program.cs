using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Tests;

/// <summary>This assembly as a program, for signals that a test sends.</summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["endless"]:
                RunEndlessly();
                return 0;
            case ["write", _]:
                return CommandRunner.Run("Tests.", [new CommandSpec("write", "Writes a file until a signal comes.", [], Write) { Operands = ["OUT"] }], arguments);
            default:
                Console.Error.WriteLine("These are tests: run them with dotnet test.");
                return 2;
        }
    }

    /// <summary>Work that notices the signal and does not stop.</summary>
    private static void RunEndlessly()
    {
        using var interrupt = new Interrupt();
        interrupt.Token.Register(() => Console.WriteLine("cancelled"));
        interrupt.Defer(() =>
        {
            Console.WriteLine("ready");
            Thread.Sleep(Timeout.Infinite);
        });
    }

    /// <summary>A command that is in the middle of a file when the signal comes.</summary>
    private static int Write(Arguments arguments, Interrupt interrupt)
    {
        interrupt.Defer(() => AtomicFile.Write(arguments.Operand(0), stream =>
        {
            stream.Write("writ"u8);
            Console.WriteLine("writing");
            interrupt.Token.WaitHandle.WaitOne();
            stream.Write("ten"u8);
        }));
        return 0;
    }
}
