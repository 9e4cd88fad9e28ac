using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.RepVgg.Tests.Trainer;

namespace Microsoft.ML.RepVgg.Tests.Network;

/// <summary>What may use the network, for a process of its own.</summary>
internal static class NetworkUse
{
    /// <summary>Looks a host up.</summary>
    public static void LookUp()
    {
        try
        {
            Dns.GetHostAddresses("host.invalid");
        }
        catch (System.Net.Sockets.SocketException)
        {
        }
    }

    /// <summary>Does the least that loads this library and runs its code.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void UseLibrary() => new RepVggTrainer.Options().ToString();

    /// <summary>Gets an environment variable as native code does.</summary>
    public static string? NativeVariable(string name) => Marshal.PtrToStringUTF8(GetVariable(name));

    [DllImport("libc", EntryPoint = "getenv", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    private static extern nint GetVariable(string name);

    /// <summary>Creates the environment of ONNX Runtime, as an application with models of its own does.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void CreateEnvironment() => OrtEnv.Instance().EnableTelemetryEvents();

    /// <summary>Does with this library and with ML.NET what the README shows.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void TrainSaveLoadAndScore(string path)
    {
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        var model = Stripes.Pipeline(context, Stripes.Options(epochs: 1)).Fit(data);
        context.Model.SaveRepVgg(model, data.Schema, path);
        using (var stream = new MemoryStream())
            context.Model.Save(model, data.Schema, stream);
        var stock = context.Model.Load(path, out _);
        using var stockMemory = (IDisposable)stock;
        Evaluate(context, stock, data);
        using (var loaded = context.Model.LoadRepVgg(path, out _))
            Evaluate(context, loaded, data);
        using (var upgraded = context.Model.UpgradeRepVgg(stock))
            Evaluate(context, upgraded, data);
    }

    private static void Evaluate(MLContext context, ITransformer model, IDataView data) => context.MulticlassClassification.Evaluate(model.Transform(data));
}
