using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.ML.RepVgg.Tests.Network;
using Microsoft.ML.RepVgg.Tests.Scoring;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;

namespace Microsoft.ML.RepVgg.Tests;

/// <summary>This assembly as a program: see <see cref="ChildProgram"/>.</summary>
internal static class Program
{
    public static ChildProgram Child { get; } = new(typeof(Program).Assembly);

    private static int Main(string[] arguments)
    {
        if (arguments is not ["native-variable", var value])
            return Run(arguments);
        // Nothing of the library has been used before.
        Environment.SetEnvironmentVariable(NetworkTests.Switch, value);
        NetworkUse.UseLibrary();
        Console.WriteLine(NetworkUse.NativeVariable(NetworkTests.Switch));
        return 0;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Run(string[] arguments)
    {
        switch (arguments)
        {
            case ["loaded-torch", var device]:
                TrainAndScore(device == "cpu" ? TrainingDevice.Cpu : TrainingDevice.TorchCpu);
                Console.WriteLine(string.Join(' ', LoadedTorch()));
                return 0;
            case ["loaded-onnxruntime", var way, var path]:
                LoadAndScore(way, path);
                Console.WriteLine(string.Join(' ', NativeLibraries("onnxruntime")));
                return 0;
            case ["network-look-up"]:
                NetworkUse.LookUp();
                return 0;
            case ["network-own-model", var path, var seconds]:
                NetworkUse.TrainSaveLoadAndScore(path);
                Thread.Sleep(TimeSpan.FromSeconds(int.Parse(seconds)));
                return 0;
            case ["network-own-model-late", var path]:
                NetworkUse.CreateEnvironment();
                NetworkUse.TrainSaveLoadAndScore(path);
                return 0;
            case ["undisposed-models", var path]:
                Console.WriteLine(string.Join(' ', UndisposedModels.Measure(path)));
                return 0;
            case ["load", var path]:
                new MLContext(seed: 1).Model.LoadRepVgg(path, out _).Dispose();
                return 0;
            case ["cancel-without-pool", var phase]:
                return PoolExhaustion.CancelIn(Enum.Parse<PoolExhaustion.Phase>(phase));
            default:
                Console.Error.WriteLine("These are tests: run them with dotnet test.");
                return 2;
        }
    }

    /// <summary>Loads a model, with a GPU requested, and scores.</summary>
    private static void LoadAndScore(string way, string path)
    {
        var context = new MLContext(seed: 1);
        ITransformer model;
        if (way == "engine")
        {
            context.GpuDeviceId = 0;
            model = context.Model.LoadRepVgg(path, out _);
        }
        else
        {
            model = context.Model.Load(path, out _);
        }
        context.MulticlassClassification.Evaluate(model.Transform(context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1))));
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
        return assemblies.Concat(NativeLibraries("torch"));
    }

    /// <summary>The native libraries of this process whose names contain a word.</summary>
    private static IEnumerable<string> NativeLibraries(string word)
    {
        using var process = Process.GetCurrentProcess();
        string[] managed = [.. AppDomain.CurrentDomain.GetAssemblies().Select(assembly => $"{assembly.GetName().Name}.dll")];
        return [.. process.Modules.Cast<ProcessModule>().Select(module => module.ModuleName).Where(name => name.Contains(word, StringComparison.OrdinalIgnoreCase) && !managed.Contains(name)).Distinct()];
    }
}
