using System.Diagnostics;
using Microsoft.ML.RepVgg.Tests.Torch;
using Microsoft.ML.RepVgg.Tests.Trainer;

namespace Microsoft.ML.RepVgg.Tests.Support;

/// <summary>This assembly as a program: for what only a fresh process can show.</summary>
internal static class ChildProgram
{
    /// <summary>Starts it.</summary>
    /// <returns>What it wrote.</returns>
    public static async Task<string> RunAsync(params string[] arguments)
    {
        var (exitCode, output, errors) = await RunInAsync(AppContext.BaseDirectory, arguments);
        return exitCode == 0 ? output : throw new InvalidOperationException($"Exit code {exitCode}: {errors}");
    }

    /// <summary>Starts it from a folder that holds a copy.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public static Task<(int ExitCode, string Output, string Errors)> RunInAsync(string folder, params string[] arguments) => StartAsync(folder, null, arguments);

    /// <summary>Starts it without a variable of this process's environment.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public static Task<(int ExitCode, string Output, string Errors)> RunWithoutAsync(string variable, params string[] arguments) => StartAsync(AppContext.BaseDirectory, variable, arguments);

    private static async Task<(int ExitCode, string Output, string Errors)> StartAsync(string folder, string? unset, string[] arguments)
    {
        string program = Path.Combine(folder, Path.GetFileName(typeof(ChildProgram).Assembly.Location));
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (unset is not null)
            start.Environment.Remove(unset);
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await errors);
    }

    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["loaded-torch", var device]:
                TrainAndScore(device == "cpu" ? TrainingDevice.Cpu : TrainingDevice.TorchCpu);
                Console.WriteLine(string.Join(' ', LoadedTorch()));
                return 0;
            case ["torch-heap", var setting]:
                // The C library read its own copy when the process started: only the library sees this one.
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

    private static void TrainAndScore(TrainingDevice device)
    {
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        var options = Stripes.Options(epochs: 1);
        options.Device = device;
        var model = Stripes.Pipeline(context, options).Fit(data);
        context.MulticlassClassification.Evaluate(model.Transform(data));
        using var file = new MemoryStream();
        context.Model.Save(model, data.Schema, file);
        file.Position = 0;
        context.MulticlassClassification.Evaluate(context.Model.Load(file, out _).Transform(data));
    }

    /// <summary>TorchSharp's assembly and native libraries, if this process has them.</summary>
    private static IEnumerable<string> LoadedTorch()
    {
        var assemblies = AppDomain.CurrentDomain.GetAssemblies().Select(assembly => assembly.GetName().Name!).Where(name => name == "TorchSharp");
        using var process = Process.GetCurrentProcess();
        var libraries = process.Modules.Cast<ProcessModule>().Select(module => module.ModuleName).Where(name => name.Contains("torch", StringComparison.OrdinalIgnoreCase) && !name.EndsWith("TorchSharp.dll", StringComparison.Ordinal));
        return assemblies.Concat(libraries.Distinct());
    }
}
