using System.Reflection;
using System.Text;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

/// <summary>
/// Marks a static method <c>object Load(IHostEnvironment, ModelLoadContext)</c> of a class that is not generic as the
/// loader of the components that were saved with the same loader name.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ModelLoaderAttribute(string loaderName, int newestVersion = 1) : Attribute
{
    internal string LoaderName { get; } = loaderName;

    internal int NewestVersion { get; } = newestVersion;
}

/// <summary>Where a loader reads what <see cref="ModelSaveContext"/> wrote.</summary>
internal sealed class ModelLoadContext
{
    private static readonly Lazy<Dictionary<string, (ModelLoaderAttribute Loader, MethodInfo Method)>> _loaders =
        new(FindLoaders);

    private readonly ModelArchiveReader _archive;
    private readonly string _folder;

    private ModelLoadContext(ModelArchiveReader archive, string folder, int version, byte[] payload)
    {
        _archive = archive;
        _folder = folder;
        Version = version;
        Reader = new BinaryReader(new MemoryStream(payload), Encoding.UTF8);
    }

    internal int Version { get; }

    internal BinaryReader Reader { get; }

    /// <summary>Loads the component in a folder; null where the archive has none there.</summary>
    /// <exception cref="FormatException">The component is damaged, of an unknown kind, or too new.</exception>
    internal static T LoadOrNull<T>(IHostEnvironment env, ModelArchiveReader archive, string folder)
        where T : class
    {
        byte[] key = archive.ReadOrNull(ModelPaths.Combine(folder, ModelPaths.Key));
        if (key is null)
        {
            return null;
        }

        try
        {
            using var reader = new BinaryReader(new MemoryStream(key), Encoding.UTF8);
            if (reader.ReadUInt64() != ModelPaths.Magic)
            {
                throw new FormatException(
                    $"Corrupt model file: '{folder}' does not begin as a component saved by the stand-in does.");
            }

            string name = reader.ReadString();
            int version = reader.ReadInt32();
            int length = reader.ReadInt32();
            byte[] payload = reader.ReadBytes(length);
            if (payload.Length != length)
            {
                throw new EndOfStreamException();
            }

            if (!_loaders.Value.TryGetValue(name, out (ModelLoaderAttribute Loader, MethodInfo Method) found))
            {
                throw new FormatException($"Corrupt model file: unknown loader '{name}' in '{folder}'.");
            }

            if (version > found.Loader.NewestVersion)
            {
                throw new FormatException(
                    $"The model file needs version {version} of '{name}'; this is version {found.Loader.NewestVersion}.");
            }

            var context = new ModelLoadContext(archive, folder, version, payload);
            object loaded = found.Method.Invoke(
                null, BindingFlags.DoNotWrapExceptions, binder: null, [env, context], culture: null);
            return loaded as T ?? throw new FormatException(
                $"Corrupt model file: '{folder}' holds a {loaded?.GetType()} where a {typeof(T)} was expected.");
        }
        catch (EndOfStreamException e)
        {
            throw new FormatException($"Corrupt model file: the data in '{folder}' ends too early.", e);
        }
    }

    /// <summary>Loads a part that was saved with <see cref="ModelSaveContext.SavePart"/>.</summary>
    internal T LoadPart<T>(IHostEnvironment env, string name)
        where T : class =>
        LoadOrNull<T>(env, _archive, ModelPaths.Combine(_folder, name))
            ?? throw new FormatException($"Corrupt model file: '{_folder}' has no part '{name}'.");

    /// <summary>Reads an entry that was saved with <see cref="ModelSaveContext.SaveBytes"/>.</summary>
    internal byte[] LoadBytes(string name) =>
        _archive.ReadOrNull(ModelPaths.Combine(_folder, name))
            ?? throw new FormatException($"Corrupt model file: '{_folder}' has no entry '{name}'.");

    private static Dictionary<string, (ModelLoaderAttribute Loader, MethodInfo Method)> FindLoaders()
    {
        const BindingFlags statics = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;
        var loaders = new Dictionary<string, (ModelLoaderAttribute, MethodInfo)>();
        foreach (Type type in typeof(ModelLoadContext).Assembly.GetTypes())
        {
            if (type.IsGenericTypeDefinition)
            {
                continue;
            }

            foreach (MethodInfo method in type.GetMethods(statics))
            {
                if (method.GetCustomAttribute<ModelLoaderAttribute>() is ModelLoaderAttribute loader)
                {
                    loaders.Add(loader.LoaderName, (loader, method));
                }
            }
        }

        return loaders;
    }
}
