using RepVgg.Testing;
using RepVgg.Tests.Inference;
using RepVgg.Tests.Runtime.Memory;

namespace RepVgg.Tests;

/// <summary>This assembly as a program: see <see cref="ChildProgram"/>.</summary>
internal static class Program
{
    public static ChildProgram Child { get; } = new(typeof(Program).Assembly);

    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["culture"]:
                var thread = new Thread(() => Console.WriteLine($"{1.5} {"i".ToUpper(null)}"));
                thread.Start();
                thread.Join();
                return 0;
            case ["undisposed-engines"]:
                Console.WriteLine(string.Join(' ', MemoryUse.OfUndisposedEngines()));
                return 0;
            case ["undisposed-backends"]:
                Console.WriteLine(string.Join(' ', MemoryUse.OfUndisposedBackends()));
                return 0;
            case ["no-c-library"]:
                NativeBufferTests.AllocateWithoutLibrary();
                return 0;
            case ["burst"]:
                Console.WriteLine(string.Join(' ', MemoryUse.OfBurst()));
                return 0;
            default:
                Console.Error.WriteLine("These are tests: run them with dotnet test.");
                return 2;
        }
    }
}
