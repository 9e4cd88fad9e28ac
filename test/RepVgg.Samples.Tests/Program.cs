using RepVgg.Samples.CommandLine;

namespace RepVgg.Samples.Tests;

/// <summary>This assembly as a program, for signals that a test sends.</summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        if (arguments is not ["endless"])
        {
            Console.Error.WriteLine("These are tests: run them with dotnet test.");
            return 2;
        }
        using var interrupt = new Interrupt();
        interrupt.Token.Register(() => Console.WriteLine("cancelled"));
        interrupt.Defer(() =>
        {
            Console.WriteLine("ready");
            Thread.Sleep(Timeout.Infinite);
        });
        return 0;
    }
}
