using RepVgg.Architectures;
using RepVgg.Testing;

namespace RepVgg.TorchSharp.Tests;

/// <summary>This assembly as a program: see <see cref="ChildProgram"/>.</summary>
internal static class Program
{
    public static ChildProgram Child { get; } = new(typeof(Program).Assembly);

    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["create-backend"]:
                TorchBackends.Create(new TorchBackendOptions { SelfTest = false }).Dispose();
                return 0;
            case ["use-libtorch", var path]:
                LibTorch.Use(path);
                LibTorch.Use(path);
                TorchBackends.Create(new TorchBackendOptions()).Dispose();
                Console.Write(LibTorch.Folder);
                return 0;
            case ["use-libtorch-late", var path]:
                TorchBackends.Create(new TorchBackendOptions { SelfTest = false }).Dispose();
                LibTorch.Use(path);
                return 0;
            case ["create-backbone"]:
                new RepVggBackbone(RepVggVariants.S0).Dispose();
                return 0;
            case ["create-block"]:
                new RepVggBlock(4, 4).Dispose();
                return 0;
            case ["torch-heap", var setting]:
                // The C library read the environment when the process started, so only this library reads this value.
                if (setting == "user")
                    Environment.SetEnvironmentVariable("MALLOC_TRIM_THRESHOLD_", "131072");
                var (pages, before, after) = HeapUse.Measure();
                Console.WriteLine($"{pages} {before} {after}");
                return 0;
            case ["self-test"]:
                SelfTestVerdicts.Print();
                return 0;
            default:
                Console.Error.WriteLine("These are tests: run them with dotnet test.");
                return 2;
        }
    }
}
