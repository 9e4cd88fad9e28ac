using Microsoft.ML.Standin;

namespace Microsoft.ML;

public sealed partial class ModelOperationsCatalog
{
    public void Save(ITransformer model, DataViewSchema inputSchema, string filePath)
    {
        Check.NotEmpty(filePath, nameof(filePath));
        AtomicFile.Write(filePath, stream => Save(model, inputSchema, stream));
    }

    public void Save(ITransformer model, DataViewSchema inputSchema, Stream stream)
    {
        Check.NotNull(stream, nameof(stream));
        var archive = new ModelArchiveWriter();
        ModelSaveContext.Save(archive, ModelPaths.TransformerChain, model);
        if (inputSchema is not null)
        {
            using Stream entry = archive.Create(ModelPaths.Schema);
            entry.Write(SchemaSerializer.ToBytes(inputSchema));
        }

        archive.WriteTo(stream);
    }

    public ITransformer Load(string filePath, out DataViewSchema inputSchema)
    {
        Check.NotEmpty(filePath, nameof(filePath));
        using FileStream stream = File.OpenRead(filePath);
        return Load(stream, out inputSchema);
    }

    public ITransformer Load(Stream stream, out DataViewSchema inputSchema)
    {
        Check.NotNull(stream, nameof(stream));
        using var archive = new ModelArchiveReader(stream);
        byte[] schema = archive.ReadOrNull(ModelPaths.Schema);
        ITransformer model = ModelLoadContext.LoadOrNull<ITransformer>(_env, archive, ModelPaths.TransformerChain)
            ?? throw new InvalidOperationException(
                "Could not load legacy format model: the file holds no transformer chain of the stand-in.");
        inputSchema = schema is null ? null : SchemaSerializer.FromBytes(schema);
        return model;
    }
}
