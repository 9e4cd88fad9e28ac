using Microsoft.ML.Runtime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Finds the host environment of the user's MLContext (log and random seed) through a catalog, which has no public property for it.</summary>
/// <remarks>
/// Catalogs expose their environment only through an internal interface, so reflection looks it up by name. It is used
/// only for logging, the context's seed and its GPU settings. If a later ML.NET version does not have the interface, training runs without them.
/// </remarks>
internal static class CatalogEnvironment
{
    public static IHostEnvironment? Find(object catalog) => catalog.GetType()
        .GetInterfaces()
        .FirstOrDefault(type => type.Name == "IInternalCatalog")?
        .GetProperty("Environment")?
        .GetValue(catalog) as IHostEnvironment;

    /// <summary>Reads the GPU settings of MLContext, which environments expose only through an internal interface.</summary>
    /// <returns>The settings; null and false, ML.NET's defaults, if a later ML.NET version does not have them.</returns>
    public static (int? GpuDeviceId, bool FallbackToCpu) GpuSettings(IHostEnvironment? environment) =>
        (Property(environment, "GpuDeviceId") as int?, Property(environment, "FallbackToCpu") is true);

    private static object? Property(object? environment, string name) => environment?.GetType()
        .GetInterfaces()
        .FirstOrDefault(type => type.Name == "IHostEnvironmentInternal")?
        .GetProperty(name)?
        .GetValue(environment);
}
