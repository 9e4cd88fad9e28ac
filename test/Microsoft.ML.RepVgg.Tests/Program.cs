using System.Diagnostics;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;

namespace Microsoft.ML.RepVgg.Tests;

/// <summary>This assembly as a program: see <see cref="ChildProgram"/>.</summary>
internal static class Program
{
    public static ChildProgram Child { get; } = new(typeof(Program).Assembly);

    private static int Main(string[] arguments)
    {
        if (arguments is not ["loaded-torch", var device])
        {
            Console.Error.WriteLine("These are tests: run them with dotnet test.");
            return 2;
        }
        TrainAndScore(device == "cpu" ? TrainingDevice.Cpu : TrainingDevice.TorchCpu);
        Console.WriteLine(string.Join(' ', LoadedTorch()));
        return 0;
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
