using Microsoft.ML.Runtime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>The environment (log, seed stream) of the user's MLContext, behind a catalog that shows none.</summary>
/// <remarks>
/// Catalogs keep their environment in an internal interface, so it is looked up by name. It is used for logging and for
/// the context's seed only; where a later ML.NET no longer has it, training goes on without both.
/// </remarks>
internal static class CatalogEnvironment
{
    public static IHostEnvironment? Find(object catalog) => catalog.GetType()
        .GetInterfaces()
        .FirstOrDefault(type => type.Name == "IInternalCatalog")?
        .GetProperty("Environment")?
        .GetValue(catalog) as IHostEnvironment;

    /// <summary>MLContext's GPU settings, which environments keep in an internal interface.</summary>
    /// <returns>Null and false, ML.NET's defaults, where a later ML.NET no longer has them.</returns>
    public static (int? GpuDeviceId, bool FallbackToCpu) GpuSettings(IHostEnvironment? environment) =>
        (Property(environment, "GpuDeviceId") as int?, Property(environment, "FallbackToCpu") is true);

    private static object? Property(object? environment, string name) => environment?.GetType()
        .GetInterfaces()
        .FirstOrDefault(type => type.Name == "IHostEnvironmentInternal")?
        .GetProperty(name)?
        .GetValue(environment);
}
